package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// attempt runs the handler once and returns its verdict.
func (c *Consumer) attempt(ctx context.Context, it *item) (err error) {
	c.mu.Lock()
	d, m := it.delivery, it.message
	m.Attempt = it.prior + it.failures + 1
	c.mu.Unlock()
	ctx = context.WithValue(ctx, attemptKey{}, attempt{n: m.Attempt, max: c.group.MaxAttempts})
	defer func() {
		if r := recover(); r != nil {
			c.cfg.Log.ErrorContext(causedBy(ctx, it), "handler panicked", "group", c.group.Name, "subject", m.Subject,
				"sequence", m.Sequence, "stack", string(debug.Stack()))
			first, _, _ := strings.Cut(fmt.Sprint(r), "\n")
			err = fmt.Errorf("handler panicked: %s", first)
		}
	}()
	if c.handlers.message != nil {
		ctx, span := c.span(telemetry.Extract(ctx, m.Header), c.group.Name, m)
		defer func() { end(span, err) }()
		return c.handlers.message(ctx, m)
	}
	e, genuine, err := c.read(ctx, d, m)
	if err != nil || !genuine {
		return err
	}
	handle, ok := c.handlers.byType[e.Type]
	if !ok {
		return dropAs(ReasonForeign, fmt.Errorf("%w: %q is not what this group handles", event.ErrUnknownType, e.Type))
	}
	ctx, span := c.span(telemetry.FromEvent(ctx, e), e.Type, m)
	defer func() { end(span, err) }()
	return handle(event.CausedBy(ctx, e), e)
}

func (c *Consumer) read(ctx context.Context, d *delivery, m Message) (event.Event, bool, error) {
	if c.cfg.Read != nil {
		return c.cfg.Read(ctx, d)
	}
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return event.Event{}, false, dropAs(ReasonUndecodable, err)
	}
	e.Stream, e.Sequence = m.Stream, m.Sequence
	return e, true, nil
}

// span begins the span of one attempt. Its name is made of template, which names no
// single message.
func (c *Consumer) span(ctx context.Context, template string, m Message) (context.Context, trace.Span) {
	//nolint:spancheck // the caller ends it
	return telemetry.Start(ctx, "process "+template, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", m.Stream),
		attribute.String("messaging.destination.template", template),
		attribute.String("messaging.consumer.group.name", c.group.Name),
	))
}

func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "handler failed")
	}
	span.End()
}

// causedBy returns a context whose log lines belong to the story of the message.
func causedBy(ctx context.Context, it *item) context.Context {
	ctx = context.WithoutCancel(ctx)
	e, err := event.Decode(it.message.Header, it.message.Data)
	if err != nil {
		return telemetry.Extract(ctx, it.message.Header)
	}
	return event.CausedBy(telemetry.FromEvent(ctx, e), e)
}
