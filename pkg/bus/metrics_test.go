package bus_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// TestMetrics: attempts, retries and dead letters are counted by what became of them,
// and how much there is to do is told while there is.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := metric.NewManualReader()
	cfg := bus.Config{Meters: metric.NewMeterProvider(metric.WithReader(reader))}
	g := group
	g.Timeout = 20 * time.Millisecond
	block, blocked := make(chan struct{}), make(chan struct{}, 10)
	c := bus.Consume(w.js, g, cfg, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		switch n, _ := bus.Attempt(ctx); {
		case e.Data.N == 1:
			return bus.Drop(errors.New("no"))
		case e.Data.N == 2 && n == 1:
			return errFlaky
		case e.Data.N == 2 && n == 2:
			panic("boom")
		case e.Data.N == 2 && n == 3:
			<-ctx.Done()
			return ctx.Err()
		case e.Data.N == 3:
			blocked <- struct{}{}
			<-block
		}
		return nil
	}))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	two := place(t, w.js, "o-2", 2)
	w.settled(t, two.Sequence)
	w.letters(t, 1)
	for range 2 {
		place(t, w.js, "o-3", 3)
	}
	receive(t, blocked, 1)
	eventually(t, func() string {
		if held := measured(t, reader)["sluice.handler.held"]; held != 2 {
			return "less than two are held"
		}
		return ""
	})
	got := measured(t, reader)
	for name, want := range map[string]float64{
		"messaging.process.duration": 1, "messaging.process.duration retry": 1, "messaging.process.duration panic": 1,
		"messaging.process.duration timeout": 1, "messaging.process.duration drop": 1,
		"messaging.client.consumed.messages": 4, "sluice.handler.retries": 3, "sluice.handler.dead_letters dropped": 1,
		"sluice.handler.running": 1, "sluice.handler.held": 2, "sluice.handler.lag": 2, "sluice.handler.healthy": 1,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %g, %t, want %g", name, value, ok, want)
		}
	}
	if age := got["sluice.handler.lag.time"]; age <= 0 || age > 60 {
		t.Errorf("the first has waited %g seconds", age)
	}
	close(block)
	receive(t, blocked, 1)
	eventually(t, func() string {
		if got := measured(t, reader); got["sluice.handler.lag"] != 0 || got["sluice.handler.lag.time"] > 0.001 {
			return "it lags"
		}
		return ""
	})
	stop(t, c)
	for name := range measured(t, reader) {
		if strings.Contains(name, "lag") || strings.Contains(name, "healthy") {
			t.Errorf("a group that is stopped tells %s", name)
		}
	}
}

// measured returns what is measured of the group: values, and counts of histograms, by
// name and the kind of failure or the reason.
func measured(t *testing.T, reader metric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	keep := func(name string, set attribute.Set, value float64) {
		of := map[string]string{}
		for _, kv := range set.ToSlice() {
			of[string(kv.Key)] = kv.Value.AsString()
		}
		if of["messaging.consumer.group.name"] != group.Name || of["messaging.destination.name"] != "ORDERS" || of["messaging.system"] != "nats" {
			t.Errorf("%s has %v", name, of)
		}
		for _, key := range slices.Sorted(maps.Keys(of)) {
			if key == "error.type" || key == "sluice.deadletter.reason" {
				name += " " + of[key]
			}
		}
		values[name] += value
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					keep(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					keep(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					keep(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					keep(m.Name, p.Attributes, float64(p.Count))
				}
			}
		}
	}
	return values
}
