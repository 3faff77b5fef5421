package eventstore_test

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// TestMetrics: appends are told apart by what became of them, and loads by what they
// read.
func TestMetrics(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	reader := metric.NewManualReader()
	store := eventstore.New(srv.JetStream(t), things, types, eventstore.MeasuredBy(metric.NewMeterProvider(metric.WithReader(reader))))
	email := eventstore.Claim{Name: "email", Hash: "abc"}
	appends := func(id string, data []event.Data, claims []eventstore.Claim, want error) {
		t.Helper()
		if _, err := store.Append(t.Context(), id, eventstore.Tail{}, build(t, id, data...), claims...); !errors.Is(err, want) {
			t.Fatalf("append to %s: %v", id, err)
		}
	}
	appends("a", []event.Data{made{"x"}, named{"y"}}, []eventstore.Claim{email}, nil)
	appends("b", []event.Data{made{"x"}}, nil, nil)
	appends("a", []event.Data{made{"x"}}, nil, eventstore.ErrConflict)
	appends("c", []event.Data{made{"x"}}, []eventstore.Claim{email}, eventstore.ErrTaken)
	appends("d", []event.Data{made{string(make([]byte, eventstore.MaxMessageSize))}}, nil, eventstore.ErrTooLarge)
	appends("e", nil, nil, event.ErrInvalid)
	before := counts(t, reader)
	for _, id := range []string{"a", "b", "nobody"} {
		if _, _, err := store.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := srv.JetStream(t).Publish(t.Context(), "thing.made.b", []byte("junk")); err != nil {
		t.Fatal(err)
	}
	if events, _, err := store.Load(t.Context(), "b"); err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	got := counts(t, reader)
	for name, want := range map[string]int64{
		"messaging.client.operation.duration": 2, "messaging.client.operation.duration conflict": 1, "messaging.client.operation.duration taken": 1,
		"messaging.client.operation.duration too_large": 1, "messaging.client.operation.duration invalid": 1,
		"messaging.client.sent.messages": 3,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
	for name, want := range map[string]int64{
		"sluice.store.load.duration": 4, "sluice.store.load.events": 4, "sluice.store.load.events sum": 2 + 1 + 0 + 1, "sluice.store.repairs": 1,
	} {
		if more := got[name] - before[name]; more != want {
			t.Errorf("%s grows by %d, want %d", name, more, want)
		}
	}
}

// counts returns the values of counters and the counts of histograms, by name and kind
// of failure.
func counts(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]int64)
	named := func(name string, set attribute.Set) string {
		of := make(map[string]string)
		for _, kv := range set.ToSlice() {
			of[string(kv.Key)] = kv.Value.AsString()
		}
		if of["messaging.destination.name"] != things.Name || of["messaging.system"] != "nats" {
			t.Errorf("%s has %v", name, of)
		}
		if kind, ok := of["error.type"]; ok {
			name += " " + kind
		}
		return name
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					values[named(m.Name, p.Attributes)] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					values[named(m.Name, p.Attributes)] += int64(p.Count)
				}
			case metricdata.Histogram[int64]:
				for _, p := range d.DataPoints {
					values[named(m.Name, p.Attributes)] += int64(p.Count)
					values[named(m.Name, p.Attributes)+" sum"] += p.Sum
				}
			}
		}
	}
	return values
}
