package eventstore_test

import (
	"testing"

	"go.opentelemetry.io/otel"
	otelmetric "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// BenchmarkAppend is one append after another: for nobody, in a process that has set up no
// telemetry, and measured.
func BenchmarkAppend(b *testing.B) {
	for name, meters := range map[string]otelmetric.MeterProvider{
		"unmeasured": noop.NewMeterProvider(),
		"off":        otel.GetMeterProvider(),
		"measured":   metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())),
	} {
		b.Run(name, func(b *testing.B) {
			srv := natstest.Start(b)
			newStore(b, srv)
			store := eventstore.New(srv.JetStream(b), things, types, eventstore.MeasuredBy(meters))
			b.ReportAllocs()
			for b.Loop() {
				mustAppend(b, store, event.NewID(), eventstore.Tail{}, made{"a thing"})
			}
		})
	}
}
