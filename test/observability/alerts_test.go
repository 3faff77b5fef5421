package observability_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"
)

const folder = "../../services/observability/"

// rules is rules.yaml.
type rules struct {
	Groups []struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval"`
		Rules    []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// readYAML reads a file that has nothing but what v has.
func readYAML(t *testing.T, name string, v any) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// mentioned are the labels that an annotation shows.
var mentioned = regexp.MustCompile(`\$labels\.([a-z_]+)`)

// checkRules: every alert asks for what there is, and says what is wrong in a line.
func checkRules(t *testing.T, k known) {
	t.Helper()
	var all rules
	readYAML(t, folder+"rules.yaml", &all)
	seen := make(map[string]bool)
	for _, group := range all.Groups {
		for _, r := range group.Rules {
			for _, wrong := range k.check(r.Expr) {
				t.Errorf("alert %s: %s", r.Alert, wrong)
			}
			if r.Alert == "" || seen[r.Alert] {
				t.Errorf("there is an alert %q already", r.Alert)
			}
			seen[r.Alert] = true
			if !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) || r.Annotations["summary"] == "" {
				t.Errorf("alert %s has the severity %q and says %q", r.Alert, r.Labels["severity"], r.Annotations["summary"])
			}
			if wait, err := time.ParseDuration(r.For); r.For != "" && (err != nil || wait > time.Hour) {
				t.Errorf("alert %s waits for %s", r.Alert, r.For)
			}
			for _, text := range r.Annotations {
				for _, m := range mentioned.FindAllStringSubmatch(text, -1) {
					if m[1] != "instance" && !strings.Contains(r.Expr, m[1]) {
						t.Errorf("alert %s shows the label %s, which it does not keep", r.Alert, m[1])
					}
				}
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("there are only the alerts %v", seen)
	}
}

// dashboard is the part of dashboard.json that asks.
type dashboard struct {
	UID    string `json:"uid"`
	Title  string `json:"title"`
	Panels []struct {
		ID          int    `json:"id"`
		Type        string `json:"type"`
		Title       string `json:"title"`
		Description string `json:"description"`
		FieldConfig struct {
			Defaults struct {
				Unit string `json:"unit"`
			} `json:"defaults"`
		} `json:"fieldConfig"`
		Targets []struct {
			Expr   string `json:"expr"`
			Legend string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Query struct {
				Query string `json:"query"`
			} `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

var (
	legend      = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
	labelValues = regexp.MustCompile(`^label_values\(([a-z_]+), ([a-z_]+)\)$`)
)

// checkDashboard: every panel asks for what there is, in its unit.
func checkDashboard(t *testing.T, k known) {
	t.Helper()
	content, err := os.ReadFile(folder + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	ids, asked := make(map[int]bool), 0
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has the id of another", p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("panel %q shows nothing, or does not say what", p.Title)
		}
		for _, target := range p.Targets {
			asked++
			wrong := k.check(target.Expr)
			for _, m := range legend.FindAllStringSubmatch(target.Legend, -1) {
				wrong = append(wrong, k.checkKept(m[1], target.Expr)...)
			}
			if unit := unitOf(target.Expr); len(wrong) == 0 && !slices.Contains(unit, p.FieldConfig.Defaults.Unit) {
				wrong = append(wrong, "it is in "+strings.Join(unit, " or ")+" and shown in "+p.FieldConfig.Defaults.Unit)
			}
			for _, why := range wrong {
				t.Errorf("panel %q: %s: %s", p.Title, target.Expr, why)
			}
		}
	}
	if asked < 40 {
		t.Errorf("the dashboard asks %d times", asked)
	}
	for _, v := range d.Templating.List {
		m := labelValues.FindStringSubmatch(v.Query.Query)
		if m == nil || k[m[1]][m[2]] == nil {
			t.Errorf("the variable %s has the values of %s", v.Name, v.Query.Query)
		}
	}
}

// checkKept wants a label that a legend shows to be left in the result.
func (k known) checkKept(label, query string) []string {
	expr, err := metricsql.Parse(variables.Replace(query))
	if err != nil {
		return nil // which is told already
	}
	kept := false
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		if a, ok := e.(*metricsql.AggrFuncExpr); ok && slices.Contains(a.Modifier.Args, label) {
			kept = true
		}
	})
	if !kept {
		return []string{"the legend shows " + label + ", which is not kept"}
	}
	return nil
}

// unitOf returns the units in which Grafana may show a query.
func unitOf(query string) []string {
	expr, err := metricsql.Parse(variables.Replace(query))
	if err != nil {
		return nil
	}
	name := metricsOf(expr)[0]
	rate := strings.Contains(query, "rate(")
	division, divides := expr.(*metricsql.BinaryOpExpr)
	switch {
	case isTime(expr):
		return []string{"s"}
	case divides && division.Op == "/" && strings.HasSuffix(name, "_sum"): // an average
		return []string{"short"}
	case divides && division.Op == "/", strings.HasSuffix(name, "_used_ratio"):
		return []string{"percentunit"}
	case strings.HasSuffix(strings.TrimSuffix(name, "_total"), "_bytes") && rate:
		return []string{"Bps"}
	case strings.HasSuffix(name, "_bytes"):
		return []string{"bytes"}
	case rate, strings.HasSuffix(name, "_per_second"):
		return []string{"reqps", "ops"}
	default:
		return []string{"short"}
	}
}

// TestQueriesAreChecked: mistakes in queries are found.
func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	k := known{
		"a_total": {"b": {"x": true}}, "g": {"b": {"x": true}}, "full_ratio": {}, "d_seconds": {},
		"d_seconds_bucket": {"le": {}, "b": {"x": true}}, "d_seconds_count": {"b": {"x": true}},
	}
	for _, good := range []string{
		`sum by (b) (rate(a_total{b="x"}[5m])) > 3`, `full_ratio > 0.8`, `d_seconds > 60`, `histogram_quantile(0.9, sum by (le, b) (rate(d_seconds_bucket[5m]))) > 1`,
		`g{b=~"x|.*"} > 1000`, `rate(a_total[5m]) / rate(d_seconds_count[5m]) > 0.5`, `max by (b) (g) and on (b) max by (b) (a_total)`,
	} {
		if wrong := k.check(good); len(wrong) > 0 {
			t.Errorf("%s is wrong: %v", good, wrong)
		}
	}
	for _, bad := range []string{
		`sum by (b (a_total)`, `3`, `unknown > 1`, `d_seconds_total > 1`, `a_total{c="x"}`, `a_total{b="y"}`, `a_total{b=~"x|y"}`, `sum by (c) (a_total)`,
		`max by (b) (g) and on (c) max by (b) (a_total)`, `full_ratio > 80`, `rate(a_total[5m]) / rate(d_seconds_count[5m]) > 50`, `d_seconds > 60000`,
		`rate(g[5m])`, `histogram_quantile(0.9, d_seconds_count)`, `histogram_quantile(0.9, sum by (b) (rate(d_seconds_bucket[5m])))`,
	} {
		if wrong := k.check(bad); len(wrong) == 0 {
			t.Errorf("nothing is wrong with %s", bad)
		}
	}
}
