package aggregate_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/aggregate"
	"sluice/pkg/eventstore"
)

// TestMetrics: look-ups tell whether memory and snapshots have what is asked for.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "snapshots"}); err != nil {
		t.Fatal(err)
	}
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	another := func() (all *aggregate.Aggregates[counter], end func()) {
		all = aggregate.New(eventstore.New(w.js, counters, types, eventstore.MeasuredBy(provider)), apply)
		kept := all.Snapshots("snapshots", aggregate.SnapshotConfig{Every: 2})
		if err := kept.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return all, func() {
			if err := kept.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
	}
	var end func()
	w.all, end = another()
	w.do(t, "a", open(5))  // a miss, in memory and of snapshots
	w.do(t, "a", count(1)) // a hit, and a snapshot at version 2
	eventually(t, func() string {
		if lookUps(t, reader)["sluice.aggregate.snapshots"] == 0 {
			return "no snapshot is told of"
		}
		return ""
	})
	end()
	w.all, end = another()
	defer end()
	w.wantCount(t, "a", 1, 2) // a miss, and a hit of the snapshot
	w.wantCount(t, "a", 1, 2) // a hit
	got := lookUps(t, reader)
	for name, want := range map[string]int64{
		"sluice.aggregate.lookups hit": 2, "sluice.aggregate.lookups miss": 2,
		"sluice.aggregate.snapshot.loads hit": 1, "sluice.aggregate.snapshot.loads miss": 1,
		"sluice.aggregate.snapshots": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
}

// lookUps returns the counters of aggregates, by name and result.
func lookUps(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || scope.Scope.Name != "sluice/pkg/aggregate" {
				continue
			}
			for _, p := range sum.DataPoints {
				name := m.Name
				if result, ok := p.Attributes.Value(attribute.Key("sluice.cache.result")); ok {
					name += " " + result.AsString()
				}
				if entity, _ := p.Attributes.Value(attribute.Key("sluice.entity")); entity.AsString() != "counter" {
					t.Errorf("%s is of %v", m.Name, p.Attributes.ToSlice())
				}
				values[name] += p.Value
			}
		}
	}
	return values
}
