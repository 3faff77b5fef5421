package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// errTimeout is the cause of the end of an attempt that took longer than its group
// allows.
var errTimeout = errors.New("the attempt took longer than the group allows")

// attempt runs the handler once and returns its verdict.
func (c *Consumer) attempt(ctx context.Context, it *item, d *delivery) (err error) {
	if err := c.mayBegin(ctx, it); err != nil {
		return err
	}
	m := &it.message
	m.Attempt = it.prior + it.failures + 1
	tuned := c.tuned.Load()
	ctx = &attempt{Context: ctx, n: m.Attempt, max: tuned.MaxAttempts}
	if tuned.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, tuned.Timeout, errTimeout)
		defer func() {
			if errors.Is(err, context.DeadlineExceeded) && context.Cause(limited) == errTimeout { //nolint:errorlint // the very one
				err = fmt.Errorf("%w: %w", errTimeout, err)
			}
			cancel()
		}()
		ctx = limited
	}
	defer func() {
		if r := recover(); r != nil {
			err = c.panicked(ctx, it, r)
		}
	}()
	if c.handlers.message != nil {
		return c.run(telemetry.Extract(ctx, m.Header), it, "", func(ctx context.Context) error {
			return c.handlers.message(ctx, *m)
		})
	}
	e, genuine, err := c.read(ctx, d)
	if err != nil || !genuine {
		return err
	}
	if !c.group.Route.wants(&e) {
		c.meters.passed(ctx, e.Type)
		return nil
	}
	handle, ok := c.handlers.byType[e.Type]
	if !ok {
		return dropAs(ReasonForeign, fmt.Errorf("%w: %q is not what this group handles", event.ErrUnknownType, e.Type))
	}
	return c.run(fromEvent(ctx, e), it, e.Type, func(ctx context.Context) error {
		return handle(event.CausedBy(ctx, e), e)
	})
}

// run calls a handler of the kind of messages, and tells how it went.
func (c *Consumer) run(ctx context.Context, it *item, kind string, handle func(context.Context) error) (err error) {
	producer := trace.SpanContextFromContext(ctx)
	ctx, span := c.spans[kind].start(ctx)
	if span.IsRecording() {
		describe(span, it, producer)
	}
	began := c.meters.now(ctx)
	defer func() {
		if r := recover(); r != nil {
			err = c.panicked(ctx, it, r)
		}
		failure := failure(ctx, err)
		c.meters.attempted(ctx, kind, failure, began)
		end(span, failure)
	}()
	return handle(ctx)
}

// mayBegin tells whether the handler may run on the message.
func (c *Consumer) mayBegin(ctx context.Context, it *item) error {
	if c.group.Order == Park {
		if err := c.checkParked(ctx, it); err != nil {
			return err
		}
	}
	if it.suspect {
		return c.begin(ctx, it)
	}
	return nil
}

func (c *Consumer) panicked(ctx context.Context, it *item, r any) error {
	c.cfg.Log.ErrorContext(causedBy(ctx, it), "handler panicked", "group", c.group.Name, "subject", it.message.Subject,
		"sequence", it.sequence(), "stack", string(debug.Stack()))
	first, _, _ := strings.Cut(fmt.Sprint(r), "\n")
	return fmt.Errorf("%w: %s", errPanic, first)
}

func (c *Consumer) read(ctx context.Context, d *delivery) (event.Event, bool, error) {
	if c.cfg.Read != nil {
		return c.cfg.Read(ctx, d)
	}
	e, err := event.Decode(d.msg.Header, d.msg.Data)
	if err != nil {
		return event.Event{}, false, dropAs(ReasonUndecodable, err)
	}
	e.Stream, e.Sequence = d.stream, d.sequence
	return e, true, nil
}

// fromEvent is [telemetry.FromEvent], which has to look at an event that has a trace
// alone.
func fromEvent(ctx context.Context, e event.Event) context.Context {
	if e.TraceParent == "" {
		return ctx
	}
	return telemetry.FromEvent(ctx, e)
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
