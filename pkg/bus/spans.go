package bus

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/telemetry"
)

// spanning begins the spans of one kind. Their name and attributes say nothing about a
// single message.
type spanning struct {
	name    string
	options []trace.SpanStartOption
}

// spannings returns those of a group's attempts, by event type; that of whole messages
// is under the empty type.
func spannings(g Group, all handlers) map[string]spanning {
	spans := make(map[string]spanning, len(all.byType)+1)
	for kind, template := range all.kinds(g) {
		spans[kind] = spanningOf(g, "process", template)
	}
	return spans
}

func spanningOf(g Group, operation, template string) spanning {
	return spanning{name: operation + " " + template, options: []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.name", operation),
			attribute.String("messaging.operation.type", operation),
			attribute.String("messaging.destination.name", g.Stream),
			attribute.String("messaging.destination.template", template),
			attribute.String("messaging.consumer.group.name", g.Name),
		),
	}}
}

func (s spanning) start(ctx context.Context) (context.Context, trace.Span) {
	return telemetry.Start(ctx, s.name, s.options...) //nolint:spancheck // the caller ends it
}

// describe says which message a span is about. It is linked to where the message was
// made, of which it is a child too.
func describe(span trace.Span, it *item, producer trace.SpanContext) {
	m := &it.message
	id := m.Header["ce-id"]
	if len(id) == 1 {
		span.SetAttributes(attribute.String("messaging.message.id", id[0]))
	}
	span.SetAttributes(
		attribute.Int("messaging.message.body.size", len(m.Data)),
		attribute.Int64("sluice.message.sequence", int64(m.Sequence)),
		attribute.Int("sluice.handler.attempt", m.Attempt),
	)
	if producer.IsValid() {
		span.AddLink(trace.Link{SpanContext: producer})
	}
}

// end ends a span with the kind of failure, if any. What the error says may be
// personal, and stays in the log.
func end(span trace.Span, failure string) {
	if failure != "" {
		span.SetAttributes(attribute.String("error.type", failure))
		span.SetStatus(codes.Error, "handler failed")
	}
	span.End()
}

// settling begins the span of storing a message's dead letter.
func (c *Consumer) settling(ctx context.Context, letter DeadLetter) (context.Context, trace.Span) {
	ctx, span := spanningOf(c.group, "settle", c.group.Name).start(ctx)
	span.SetAttributes(
		attribute.String("sluice.deadletter.reason", string(letter.Reason)),
		attribute.Int("sluice.handler.attempts", letter.Attempts),
		attribute.Int64("sluice.message.sequence", int64(letter.Sequence)),
	)
	return ctx, span
}
