package observability_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"

	"sluice/pkg/endpoint"
)

// known is what there is to ask for: the values of each label of each metric, by the names
// that samples have.
type known map[string]map[string]map[string]bool

// knownOf returns what a scrape has, and what the documentation says beside it: of what
// has not happened there is nothing in a scrape.
func knownOf(scraped map[string]*dto.MetricFamily, documented map[string]string) known {
	all := known{"up": {"job": {"sluice": true}, "instance": {}}}
	for name, f := range scraped {
		labels := map[string]map[string]bool{"job": {}, "instance": {}}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if labels[l.GetName()] == nil {
					labels[l.GetName()] = make(map[string]bool)
				}
				labels[l.GetName()][l.GetValue()] = true
			}
		}
		addDocumented(labels, documented[name])
		if f.GetType() != dto.MetricType_HISTOGRAM {
			all[name] = labels
			continue
		}
		all[name+"_sum"], all[name+"_count"] = labels, labels
		buckets := maps.Clone(labels)
		buckets["le"] = make(map[string]bool)
		all[name+"_bucket"] = buckets
	}
	return all
}

// enumeration is how the documentation lists the values of an attribute.
var enumeration = regexp.MustCompile(`([a-z_]+(?:\.[a-z_]+)+): ([^;]+)`)

// addDocumented adds what the description of a metric says of its attributes.
func addDocumented(labels map[string]map[string]bool, description string) {
	for _, m := range enumeration.FindAllStringSubmatch(description, -1) {
		label := strings.ReplaceAll(m[1], ".", "_")
		if labels[label] == nil {
			labels[label] = make(map[string]bool)
		}
		for value := range strings.SplitSeq(m[2], ",") {
			if value = strings.TrimSpace(value); value == "a code" {
				for _, code := range []endpoint.Code{endpoint.CodeInternal, endpoint.CodeUnavailable, endpoint.CodeDeadline} {
					labels[label][string(code)] = true
				}
			}
			if strings.Contains(value, "gRPC the status") {
				for _, code := range []connect.Code{connect.CodeInternal, connect.CodeUnavailable, connect.CodeDeadlineExceeded} {
					labels[label][strings.ToUpper(code.String())] = true
				}
			}
			labels[label][value] = true
		}
	}
}

// variables are what Grafana puts in for those of the dashboard.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$route", ".*", "$service", ".*")

// check returns what is wrong with a query.
func (k known) check(query string) []string {
	expr, err := metricsql.Parse(variables.Replace(query))
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			wrong = append(wrong, k.checkSelector(e)...)
		case *metricsql.AggrFuncExpr:
			wrong = append(wrong, k.checkLabels(e.Modifier.Args, e)...)
		case *metricsql.BinaryOpExpr:
			wrong = append(wrong, k.checkLabels(e.GroupModifier.Args, e)...)
			wrong = append(wrong, checkThreshold(e)...)
		case *metricsql.FuncExpr:
			wrong = append(wrong, checkFunction(e)...)
		}
	})
	if len(metricsOf(expr)) == 0 {
		wrong = append(wrong, "it asks for no metric")
	}
	return wrong
}

func (k known) checkSelector(e *metricsql.MetricExpr) []string {
	var wrong []string
	for _, filters := range e.LabelFilterss {
		name := nameOf(filters)
		labels, there := k[name]
		if !there {
			return []string{fmt.Sprintf("there is no metric %q", name)}
		}
		for _, f := range filters {
			if f.Label == "__name__" {
				continue
			}
			values, there := labels[f.Label]
			if !there {
				wrong = append(wrong, fmt.Sprintf("%s has no label %s", name, f.Label))
				continue
			}
			for value := range strings.SplitSeq(f.Value, "|") {
				if plain := !f.IsRegexp || regexp.QuoteMeta(value) == value; value != "" && plain && !values[value] {
					wrong = append(wrong, fmt.Sprintf("%s of %s is never %q, but %v", f.Label, name, value, slices.Sorted(maps.Keys(values))))
				}
			}
		}
	}
	return wrong
}

func nameOf(filters []metricsql.LabelFilter) string {
	for _, f := range filters {
		if f.Label == "__name__" {
			return f.Value
		}
	}
	return ""
}

// metricsOf returns the names of what an expression asks for.
func metricsOf(e metricsql.Expr) []string {
	var names []string
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		if m, ok := e.(*metricsql.MetricExpr); ok {
			for _, filters := range m.LabelFilterss {
				names = append(names, nameOf(filters))
			}
		}
	})
	return names
}

// checkLabels looks for the labels that series are grouped or matched by.
func (k known) checkLabels(labels []string, e metricsql.Expr) []string {
	var wrong []string
	for _, label := range labels {
		for _, name := range metricsOf(e) {
			if _, there := k[name][label]; !there {
				wrong = append(wrong, fmt.Sprintf("%s has no label %s", name, label))
			}
		}
	}
	return wrong
}

// checkThreshold wants limits of what is a part of something to be parts, and limits of
// time to be under an hour.
func checkThreshold(e *metricsql.BinaryOpExpr) []string {
	limit, ok := e.Right.(*metricsql.NumberExpr)
	if !ok || !slices.Contains([]string{">", "<", ">=", "<="}, e.Op) {
		return nil
	}
	left := string(e.Left.AppendString(nil))
	division, divides := e.Left.(*metricsql.BinaryOpExpr)
	part := divides && division.Op == "/"
	for _, name := range metricsOf(e.Left) {
		part = part || strings.HasSuffix(name, "_ratio")
	}
	switch {
	case part && (limit.N < 0 || limit.N >= 1):
		return []string{fmt.Sprintf("%s is a part, which is never beyond %v", left, limit.N)}
	case isTime(e.Left) && (limit.N <= 0 || limit.N > 3600):
		return []string{fmt.Sprintf("%s is in seconds, and %v is not sensible", left, limit.N)}
	default:
		return nil
	}
}

// isTime tells whether the values of an expression are seconds.
func isTime(e metricsql.Expr) bool {
	if f, ok := e.(*metricsql.FuncExpr); ok && f.Name == "histogram_quantile" {
		return strings.Contains(strings.Join(metricsOf(e), " "), "_seconds_bucket")
	}
	return slices.ContainsFunc(metricsOf(e), func(name string) bool { return strings.HasSuffix(name, "_seconds") })
}

// checkFunction wants rates of what only grows, and quantiles of buckets.
func checkFunction(e *metricsql.FuncExpr) []string {
	grows := []string{"_total", "_count", "_sum", "_bucket"}
	var wrong []string
	for _, name := range metricsOf(e) {
		switch e.Name {
		case "rate", "increase":
			if !slices.ContainsFunc(grows, func(suffix string) bool { return strings.HasSuffix(name, suffix) }) {
				wrong = append(wrong, fmt.Sprintf("%s goes up and down, and has no %s", name, e.Name))
			}
		case "histogram_quantile":
			if !strings.HasSuffix(name, "_bucket") || !strings.Contains(string(e.AppendString(nil)), "by(le") {
				wrong = append(wrong, fmt.Sprintf("%s has no quantiles by le", name))
			}
		}
	}
	return wrong
}
