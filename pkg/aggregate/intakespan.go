package aggregate

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// takingIn describes the spans in which events of a type are taken in.
func takingIn(eventType string) []trace.SpanStartOption {
	return []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.name", "intake"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", eventType),
		),
	}
}

// begin begins the span in which an outsider's event is taken in, in the trace that the
// event tells of. It is linked to that of the handler, whose trace is of the message:
// the two differ where the event is in structured mode.
func begin(ctx context.Context, t Taker, e event.Event) (context.Context, trace.Span) {
	handler := trace.SpanContextFromContext(ctx)
	ctx, span := telemetry.Start(telemetry.FromEvent(ctx, e), "intake "+t.name, t.span...)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("messaging.message.id", e.ID))
		span.AddLink(trace.Link{SpanContext: handler})
	}
	return ctx, span
}
