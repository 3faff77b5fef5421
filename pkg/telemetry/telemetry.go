package telemetry

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
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

// Start begins a span below the one in ctx, or a new trace when there is none, for the
// service that ctx belongs to. The caller ends it.
func Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return tracerOf(ctx).Start(ctx, name, opts...)
}

// Inject writes the trace context of ctx into h under exactly the names traceparent
// and tracestate, replacing what stood there. It does nothing when ctx has no trace.
func Inject(ctx context.Context, h nats.Header) {
	propagation.TraceContext{}.Inject(ctx, carrier(h))
	if carriesBaggage() {
		injectBaggage(ctx, carrier(h))
	}
}

// Extract returns ctx with the trace context of h as the remote parent. A missing or
// malformed traceparent leaves ctx as it is.
func Extract(ctx context.Context, h nats.Header) context.Context {
	if carriesBaggage() {
		ctx = extractBaggage(ctx, carrier(h))
	}
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
