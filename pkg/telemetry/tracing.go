package telemetry

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// tracing is the process-wide provider of tracers: one for each service, since each
// has a resource of its own, and one for what belongs to none.
type tracing struct {
	embedded.TracerProvider

	process   trace.TracerProvider // nil: nothing is exported
	own       trace.Tracer         // of the process, for our scope
	services  map[string]trace.Tracer
	providers []*sdktrace.TracerProvider
}

// newTracing returns tracers that hand their spans to exporter, or make ids alone when
// it is nil.
func newTracing(ctx context.Context, c Config, exporter sdktrace.SpanExporter) (*tracing, error) {
	if exporter == nil {
		return &tracing{own: ids{}}, nil
	}
	t := &tracing{services: make(map[string]trace.Tracer, len(c.Services))}
	batches := sdktrace.NewBatchSpanProcessor(exporter)
	var errs []error
	provider := func(service string) *sdktrace.TracerProvider {
		resource, err := describe(ctx, c, service)
		errs = append(errs, err)
		p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(batches), sdktrace.WithResource(resource))
		t.providers = append(t.providers, p)
		return p
	}
	process := provider("")
	t.process, t.own = process, process.Tracer(scope)
	for _, service := range c.Services {
		t.services[service] = provider(service).Tracer(scope)
	}
	return t, errors.Join(errs...)
}

// Tracer returns a tracer of the process.
func (t *tracing) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	if t.process == nil {
		return ids{}
	}
	return t.process.Tracer(name, options...)
}

// shutdown exports what has ended. Providers share one queue, which the first closes.
func (t *tracing) shutdown(ctx context.Context) error {
	var errs []error
	for _, p := range t.providers {
		if err := p.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("traces: %w", err))
		}
	}
	return errors.Join(errs...)
}

// of returns the tracer of the service that ctx belongs to.
func (t *tracing) of(ctx context.Context) trace.Tracer {
	if len(t.services) > 0 {
		if own, ok := t.services[ServiceOf(ctx)]; ok {
			return own
		}
	}
	return t.own
}

func tracerOf(ctx context.Context) trace.Tracer {
	if t, ok := otel.GetTracerProvider().(*tracing); ok {
		return t.of(ctx)
	}
	return otel.Tracer(scope)
}

type serviceKey struct{}

// WithService returns ctx for the work of the service, one of [Config.Services]: spans
// that are started in it are that service's.
func WithService(ctx context.Context, service string) context.Context {
	return context.WithValue(ctx, serviceKey{}, service)
}

// ServiceOf returns the service that ctx belongs to, or "".
func ServiceOf(ctx context.Context) string {
	service, _ := ctx.Value(serviceKey{}).(string)
	return service
}
