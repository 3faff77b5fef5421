// Package telemetry makes one story out of a request: a trace id and a correlation
// id that go from HTTP through endpoints, the event store and consumers, and stand
// on every log line on the way.
//
// The trace context lives in the [context.Context], as OpenTelemetry has it.
// [Inject] and [Extract] carry it over a NATS message, [FromEvent] takes it out of
// an event that was stored earlier, [TraceParent] gives what an event to be stored
// records. The correlation id is part of [event.Metadata].
//
//	ctx = telemetry.Extract(ctx, msg.Header)
//	ctx, span := telemetry.Start(ctx, "svc.order.create")
//	defer span.End()
//	log.InfoContext(ctx, "order created") // … trace_id=4bf9… correlation_id=0193…
//
// [Setup] is called once, by the program. Without it contexts are still handed on,
// but no new ids are made.
package telemetry

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/event"
)

// scope is the instrumentation scope of every span Sluice starts.
const scope = "sluice"

// The names of the W3C Trace Context headers. NATS header names are case-sensitive,
// so these are the exact bytes on the wire.
const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// Setup installs the process-wide tracer provider and the W3C propagator. Spans get
// ids, which is what logs and events need, but nothing is sampled, so that a span
// costs next to nothing. Call shutdown when the program ends.
func Setup() (shutdown func(context.Context) error) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return provider.Shutdown
}

// Start begins a span below the one in ctx, or a new trace when there is none. The
// caller ends it.
func Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return otel.Tracer(scope).Start(ctx, name, opts...)
}

// Inject writes the trace context of ctx into h under exactly the names traceparent
// and tracestate, replacing what stood there. It does nothing when ctx has no trace.
func Inject(ctx context.Context, h nats.Header) {
	propagation.TraceContext{}.Inject(ctx, carrier(h))
}

// Extract returns ctx with the trace context of h as the remote parent. A missing or
// malformed traceparent leaves ctx as it is.
func Extract(ctx context.Context, h nats.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier(h))
}

// FromEvent returns ctx with the trace in which e was written as the remote parent.
// It concerns the trace alone: [event.CausedBy] sets the metadata.
func FromEvent(ctx context.Context, e event.Event) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		headerTraceParent: e.TraceParent, headerTraceState: e.TraceState,
	})
}

// TraceParent returns the trace context of ctx as the two header values, or empty
// strings when there is none: what an event stores of the trace it was written in.
func TraceParent(ctx context.Context) (parent, state string) {
	c := make(propagation.MapCarrier, 2)
	propagation.TraceContext{}.Inject(ctx, c)
	return c[headerTraceParent], c[headerTraceState]
}

// TraceID returns the trace id of ctx in lower-case hexadecimal, or "" when ctx has
// no trace.
func TraceID(ctx context.Context) string {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		return s.TraceID().String()
	}
	return ""
}

// carrier reads and writes NATS headers by their exact names, unlike
// [propagation.HeaderCarrier], which would write Traceparent.
type carrier nats.Header

func (c carrier) Get(key string) string {
	if values := c[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { c[key] = []string{value} }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}
