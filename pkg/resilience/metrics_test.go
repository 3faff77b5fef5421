package resilience_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/resilience"
)

// Whoever collects metrics sees every state of a breaker and everything that was counted,
// under names that dashboards rely on, until the registration is given up.
func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := metric.NewManualReader()
		set, err := resilience.NewSet(map[string]resilience.Config{
			"user": {
				Retry:    resilience.Retry{Attempts: 2, Budget: 0.001, Reserve: 1},
				Breaker:  resilience.Breaker{Failures: 3},
				Bulkhead: resilience.Bulkhead{Limit: 1},
			},
			"mail": {Breaker: resilience.Breaker{Failures: -1}, RateLimit: resilience.RateLimit{PerSecond: 1, Burst: 1}},
		}, resilience.Hooks{Classify: classify})
		wantError(t, err, nil)
		registered, err := set.Measure(metric.NewMeterProvider(metric.WithReader(reader)), attribute.String("sluice.caller", "order"))
		wantError(t, err, nil)
		if got := collect(t, reader); len(got) > 0 {
			t.Fatalf("policies that nobody asked for tell %v", got)
		}

		user, mail := set.For("user", "get"), set.For("mail", "send")
		wantSeries(t, reader, map[string]int64{
			"sluice.breaker.state closed user 1": 1, "sluice.breaker.state open user 1": 0, "sluice.breaker.state half-open user 1": 0,
		})
		held := start(t.Context(), user)
		wantError(t, do(t, user, nil), resilience.ErrFull)
		wantError(t, held.finish(nil), nil)
		wantError(t, do(t, user, errGone), errGone) // and its repeat
		wantError(t, do(t, user, errGone), errGone) // which nothing is left to repeat
		wantError(t, do(t, user, nil), resilience.ErrOpen)
		wantError(t, do(t, mail, context.Canceled), context.Canceled)
		wantError(t, do(t, mail, nil), resilience.ErrLimited)
		wantSeries(t, reader, map[string]int64{
			"sluice.breaker.state closed user 1": 0, "sluice.breaker.state open user 1": 1, "sluice.breaker.state half-open user 1": 0,
			"sluice.breaker.changes open user {change}": 1, "sluice.breaker.changes closed user {change}": 0,
			"sluice.call.attempts answered user {attempt}": 1, "sluice.call.attempts failed user {attempt}": 3, "sluice.call.attempts ignored mail {attempt}": 1,
			"sluice.call.retries user {attempt}": 1, "sluice.call.retries.unpaid user {attempt}": 1,
			"sluice.call.refused full user {attempt}": 1, "sluice.call.refused open user {attempt}": 1, "sluice.call.refused limited mail {attempt}": 1,
		})

		pass(30 * time.Second)
		held = start(t.Context(), user)
		wantSeries(t, reader, map[string]int64{
			"sluice.breaker.state half-open user 1": 1, "sluice.breaker.state open user 1": 0, "sluice.breaker.changes half-open user {change}": 1,
		})
		wantError(t, held.finish(nil), nil)
		got := collect(t, reader)
		for series, want := range map[string]int64{
			"sluice.breaker.state closed user 1": 1, "sluice.breaker.changes closed user {change}": 1, "sluice.breaker.changes open user {change}": 1,
		} {
			if got[series] != want {
				t.Errorf("%s is %d, want %d", series, got[series], want)
			}
		}
		for series := range got {
			if strings.Contains(series, "breaker") && strings.Contains(series, "mail") {
				t.Errorf("%s although there is no breaker", series)
			}
		}
		wantError(t, registered.Unregister(), nil)
		if got := collect(t, reader); len(got) > 0 {
			t.Errorf("a set that nobody measures tells %v", got)
		}
	})
}

func wantSeries(t *testing.T, reader metric.Reader, want map[string]int64) {
	t.Helper()
	got := collect(t, reader)
	for series, value := range want {
		if is, there := got[series]; !there || is != value {
			t.Errorf("%s is %d (there: %t), want %d", series, is, there, value)
		}
	}
	if t.Failed() {
		t.Fatalf("all series: %v", slices.Sorted(maps.Keys(got)))
	}
}

// collect returns every series by its name, attributes and unit.
func collect(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	wantError(t, reader.Collect(t.Context(), &all), nil)
	values := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			var points []metricdata.DataPoint[int64]
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				points = data.DataPoints
			case metricdata.Sum[int64]:
				if !data.IsMonotonic {
					t.Errorf("%s can fall", m.Name)
				}
				points = data.DataPoints
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
			for _, p := range points {
				values[m.Name+labels(t, p.Attributes)+" "+m.Unit] = p.Value
			}
		}
	}
	return values
}

// labels returns the values of the attributes but that of the caller, in the order of their names.
func labels(t *testing.T, set attribute.Set) string {
	t.Helper()
	var b strings.Builder
	for _, kv := range set.ToSlice() {
		if kv.Key == "sluice.caller" {
			continue
		}
		b.WriteString(" " + kv.Value.AsString())
	}
	if caller, ok := set.Value("sluice.caller"); !ok || caller.AsString() != "order" {
		t.Errorf("nothing tells the caller in %v", set.ToSlice())
	}
	return b.String()
}
