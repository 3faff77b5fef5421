package endpoint_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
)

// measuring is what is measured thrown away, and kept for whoever scrapes it, as a program
// does that exports nothing.
func measuring() map[string]metric.MeterProvider {
	return map[string]metric.MeterProvider{"unmeasured": noop.NewMeterProvider(), "measured": otel.GetMeterProvider()}
}

// BenchmarkCall is one call after another, with their requests.
func BenchmarkCall(b *testing.B) {
	for name, meters := range measuring() {
		b.Run(name, func(b *testing.B) {
			srv := natstest.Start(b)
			server := endpoint.Serve(srv.Connect(b), endpoint.ServiceConfig{Name: "order", Version: "1.0.0", Meters: meters},
				endpoint.Handle(create, accept))
			if err := server.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := server.Stop(context.Background()); err != nil {
					b.Error(err)
				}
			})
			caller := endpoint.NewCaller(srv.Connect(b), endpoint.CallerConfig{Meters: meters})
			ctx, req := telemetry.WithService(b.Context(), "shop"), good()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := endpoint.Call(ctx, caller, create, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCallNowhere is a call without a connection, so that little but the measuring
// of it is left.
func BenchmarkCallNowhere(b *testing.B) {
	for name, meters := range measuring() {
		b.Run(name, func(b *testing.B) {
			nc := natstest.Start(b).Connect(b)
			nc.Close()
			caller := endpoint.NewCaller(nc, endpoint.CallerConfig{Meters: meters})
			ctx := telemetry.WithService(b.Context(), "shop")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := caller.Request(ctx, create.Subject(), nil, nil); !errors.Is(err, endpoint.ErrUnreachable) {
					b.Fatal(err)
				}
			}
		})
	}
}
