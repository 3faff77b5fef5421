package telemetry_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
)

// TestJetStream: the state of streams and durable consumers is told, and many
// collections ask the server once.
func TestJetStream(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work"}, MaxMsgs: 4, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.ConsumerConfig{
		{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}, {Name: "passing"},
	} {
		if _, err := stream.CreateConsumer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := js.Publish(t.Context(), "work", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	worker, err := stream.Consumer(t.Context(), "worker")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Next(); err != nil { // and not acknowledged
		t.Fatal(err)
	}

	reader := metric.NewManualReader()
	observing := srv.JetStream(t)
	j := telemetry.ObserveJetStream(observing, metric.NewMeterProvider(metric.WithReader(reader)), slog.New(slog.DiscardHandler))
	if err := j.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got map[string]int64
	deadline := time.After(20 * time.Second)
	for ticker := time.Tick(5 * time.Millisecond); len(got) == 0; {
		select {
		case <-ticker:
			got = collect(t, reader)
		case <-deadline:
			t.Fatal("nothing is told")
		}
	}
	for name, want := range map[string]int64{
		"sluice.jetstream.stream.messages WORK": 3, "sluice.jetstream.stream.consumers WORK": 2,
		"sluice.jetstream.consumer.pending WORK worker": 2, "sluice.jetstream.consumer.ack_pending WORK worker": 1,
		"sluice.jetstream.consumer.redelivered WORK worker": 0, "sluice.jetstream.consumer.waiting WORK worker": 0, "sluice.jetstream.unseen": 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %d, %t, want %d", name, value, ok, want)
		}
	}
	if got["sluice.jetstream.stream.size WORK"] == 0 || got["sluice.jetstream.stream.used WORK"] != 75 || len(got) != 9 {
		t.Errorf("told is %v", got)
	}
	before := observing.Conn().Stats().OutMsgs
	for range 100 {
		collect(t, reader)
	}
	if after := observing.Conn().Stats().OutMsgs; after != before {
		t.Errorf("%d requests for 100 collections", after-before)
	}
	if err := j.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); len(got) > 0 {
		t.Errorf("after the end it tells %v", got)
	}
}

// collect returns what gauges tell, by name, stream and consumer; of ratios the percentage.
func collect(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			var points []metricdata.DataPoint[int64]
			switch g := m.Data.(type) {
			case metricdata.Gauge[int64]:
				points = g.DataPoints
			case metricdata.Gauge[float64]:
				for _, p := range g.DataPoints {
					points = append(points, metricdata.DataPoint[int64]{Attributes: p.Attributes, Value: int64(100 * p.Value)})
				}
			default:
				t.Fatalf("%s is a %T", m.Name, m.Data)
			}
			for _, p := range points {
				name := m.Name
				for _, key := range []string{"messaging.destination.name", "messaging.consumer.group.name"} {
					for _, kv := range p.Attributes.ToSlice() {
						if string(kv.Key) == key {
							name += " " + kv.Value.AsString()
						}
					}
				}
				values[name] = p.Value
			}
		}
	}
	return values
}
