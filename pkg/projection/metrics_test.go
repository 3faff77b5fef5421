package projection_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/event"
	"sluice/pkg/projection"
)

// TestMetrics: whoever collects metrics learns how far a model is and how far behind,
// as long as it is followed.
func TestMetrics(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	cfg := quick()
	cfg.Meters = provider
	f := followWith(t, w.js, cfg, func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		if _, ok := data.(moved); ok {
			return errFold
		}
		return fold(tx, e, data)
	})
	reached := w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	if got := gauges(t, reader); got["sluice.projection.commit.duration"] < 1 || got["sluice.projection.batch.size"] != 1 {
		t.Errorf("one event was stored: %v", got)
	}
	want(t, gauges(t, reader), map[string]float64{
		"sluice.projection.position": float64(reached), "sluice.projection.lag": 0, "sluice.projection.lag.time": 0,
		"sluice.projection.skipped": 0, "sluice.projection.following": 1,
	})

	poison := w.write(t, "a", moved{"y"})
	w.write(t, "a", added{"x", 1})
	f.parked(t, poison)
	got := gauges(t, reader)
	want(t, got, map[string]float64{
		"sluice.projection.position": float64(reached), "sluice.projection.lag": 2, "sluice.projection.following": 0,
	})
	if got["sluice.projection.lag.time"] <= 0 {
		t.Errorf("the event it is parked on has waited %v seconds", got["sluice.projection.lag.time"])
	}
	f.stop(t)
	for name := range gauges(t, reader) {
		if name != "sluice.projection.commit.duration" && name != "sluice.projection.batch.size" {
			t.Errorf("a model that nobody follows tells %s", name)
		}
	}
}

func want(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if g, ok := got[name]; !ok || g != value {
			t.Errorf("%s is %v, want %v", name, g, value)
		}
	}
}

// gauges collects the values of the one model, by name: of histograms how much there is
// in all of a size, and how often a duration was taken.
func gauges(t *testing.T, reader metric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch g := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range g.DataPoints {
					values[m.Name] = float64(p.Value)
					wantName(t, p.Attributes)
				}
			case metricdata.Gauge[float64]:
				for _, p := range g.DataPoints {
					values[m.Name] = p.Value
					wantName(t, p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range g.DataPoints {
					values[m.Name] += float64(p.Count)
					wantName(t, p.Attributes)
				}
			case metricdata.Histogram[int64]:
				for _, p := range g.DataPoints {
					values[m.Name] += float64(p.Sum)
					wantName(t, p.Attributes)
				}
			}
		}
	}
	return values
}

func wantName(t *testing.T, attributes attribute.Set) {
	t.Helper()
	if name, ok := attributes.Value("sluice.projection.name"); !ok || name.AsString() == "" {
		t.Errorf("the attributes are %v", attributes.ToSlice())
	}
}
