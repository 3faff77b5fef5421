package observability_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/pkg/telemetry/telemetrytest"
)

// rare are metrics of what the program does not do here: a read model is rebuilt after an
// upgrade, a snapshot is taken of a long history, a load is repaired when somebody has
// written into one, and events are filtered when there is a route. Tests of their packages do.
var rare = []string{
	"sluice.projection.rebuild.lag", "sluice.projection.rebuild.time_left", "sluice.aggregate.snapshots", "sluice.store.repairs",
	"sluice.handler.filtered",
}

// families returns what a scrape says, by the names that Prometheus has.
func families(t *testing.T, scrape string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(scrape))
	if err != nil {
		t.Fatalf("%v in\n%s", err, scrape)
	}
	return all
}

// descriptions returns what is documented of each metric, by the names that Prometheus has.
func descriptions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for name, documented := range telemetrytest.Documented(t, "../../pkg/telemetry/doc.go") {
		for _, kind := range []dto.MetricType{dto.MetricType_COUNTER, dto.MetricType_GAUGE} {
			all[telemetrytest.PrometheusName(name, documented.Unit, kind)] = documented.Description
		}
	}
	return all
}

// checkNames: every metric of the program is documented with its unit, and every one that
// is documented is there, for OTLP and for Prometheus.
func checkNames(t *testing.T, s story) {
	t.Helper()
	units, scraped := telemetrytest.Documented(t, "../../pkg/telemetry/doc.go"), families(t, s.scrape)
	if len(units) < 50 {
		t.Fatalf("the documentation has only %v", units)
	}
	expected := make(map[string]bool)
	for name, documented := range units {
		unit := documented.Unit
		for _, kind := range []dto.MetricType{dto.MetricType_COUNTER, dto.MetricType_GAUGE} {
			expected[telemetrytest.PrometheusName(name, unit, kind)] = true
		}
		if slices.Contains(rare, name) {
			continue
		}
		if got, ok := s.received.Metrics[name]; !ok || got.Unit != unit {
			t.Errorf("%s in %s is documented; exported are %q, %v", name, unit, got.Unit, s.received.MetricNames())
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(scraped)), func(f *dto.MetricFamily) bool {
			return f.GetName() == telemetrytest.PrometheusName(name, unit, f.GetType())
		}) {
			t.Errorf("%s in %s is documented; scraped are %v", name, unit, slices.Sorted(maps.Keys(scraped)))
		}
	}
	for name, got := range s.received.Metrics {
		if documented, ok := units[name]; telemetrytest.IsOurs(name) && (!ok || documented.Unit != got.Unit) {
			t.Errorf("%s in %s is exported and documented in %q", name, got.Unit, documented.Unit)
		}
	}
	for name := range scraped {
		if first, _, _ := strings.Cut(name, "_"); telemetrytest.IsOurs(first+".") && !expected[name] {
			t.Errorf("%s is scraped and not documented", name)
		}
	}
}

// anID is what an id looks like.
var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f]{32}|@`)

// checkAttributes: no attribute of a metric holds an id, nor does the name of a span, and
// nothing at all holds anything personal.
func checkAttributes(t *testing.T, s story) {
	t.Helper()
	for name, f := range families(t, s.scrape) {
		if name == "target_info" {
			continue // which tells of the process, and its instance
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if anID.MatchString(l.GetValue()) {
					t.Errorf("%s has %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
	for _, span := range s.received.Spans {
		if anID.MatchString(span.Name) {
			t.Errorf("a span is called %q", span.Name)
		}
		for key, value := range span.Attributes {
			if strings.Contains(value, personal) {
				t.Errorf("%s has %s=%q", span.Name, key, value)
			}
		}
		if strings.Contains(span.Status, personal) {
			t.Errorf("%s ends with %q", span.Name, span.Status)
		}
	}
}
