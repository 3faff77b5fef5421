package projection

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// The kinds of failures of commits, as error.type has them.
const (
	failedConflict  = "conflict" // another writer was faster
	failedCancelled = "cancelled"
	failedOther     = "_OTHER"
)

// maxLinks bounds the events that the span of a commit is linked to.
const maxLinks = 100

// commits tell of the steps of one model: how large they are, how long it takes to store
// them, and in which traces their events were made. The names are in the documentation of
// package telemetry, and stay as they are.
type commits struct {
	duration metric.Float64Histogram
	size     metric.Int64Histogram

	stored map[string][]metric.RecordOption // by failure
	name   string
	span   []trace.SpanStartOption
}

// newCommits makes those of a model. What cannot be made measures nothing, and
// OpenTelemetry's own log says so.
func newCommits(provider metric.MeterProvider, model, stream string) *commits {
	meter := provider.Meter("sluice/pkg/projection")
	of := []attribute.KeyValue{attribute.String("sluice.projection.name", model), attribute.String("messaging.destination.name", stream)}
	c := &commits{name: "commit " + model, stored: make(map[string][]metric.RecordOption)}
	var errs [2]error
	c.duration, errs[0] = meter.Float64Histogram("sluice.projection.commit.duration", metric.WithUnit("s"),
		metric.WithDescription("Time to store one step of a model."),
		metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	c.size, errs[1] = meter.Int64Histogram("sluice.projection.batch.size", metric.WithUnit("{event}"),
		metric.WithDescription("Events of one step of a model."),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000))
	if err := errors.Join(errs[:]...); err != nil {
		otel.Handle(err)
	}
	for _, failure := range []string{"", failedConflict, failedCancelled, failedOther} {
		with := of
		if failure != "" {
			with = append(slices.Clip(with), attribute.String("error.type", failure))
		}
		c.stored[failure] = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(with...))}
	}
	c.span = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(append(of,
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.name", "commit"),
		attribute.String("messaging.operation.type", "process"))...)}
	return c
}

// contents are the events of a step, and where they were made, as far as somebody records
// that.
type contents struct {
	events int
	made   []trace.SpanContext
}

// add takes in an event.
func (f *contents) add(e event.Event) {
	f.events++
	if e.TraceParent == "" || len(f.made) >= maxLinks || !telemetry.Recording() {
		return
	}
	if made := trace.SpanContextFromContext(telemetry.FromEvent(context.Background(), e)); made.IsSampled() {
		f.made = append(f.made, made)
	}
}

// begin starts the clock of a step, and its span, which is linked to where the events were
// made. That of a single event is part of the same trace. Where nobody records the events,
// nobody misses it.
func (c *commits) begin(ctx context.Context, of contents) *commit {
	one := &commit{commits: c, ctx: ctx, events: of.events, began: time.Now()}
	if len(of.made) == 0 {
		return one
	}
	above := trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	if of.events == 1 {
		above = trace.ContextWithRemoteSpanContext(ctx, of.made[0])
	}
	_, one.span = telemetry.Start(above, c.name, c.span...) //nolint:spancheck // the commit ends it
	one.span.SetAttributes(attribute.Int("messaging.batch.message_count", of.events))
	for _, origin := range of.made {
		one.span.AddLink(trace.Link{SpanContext: origin})
	}
	return one
}

// commit is one step on its way into storage.
type commit struct {
	*commits

	ctx    context.Context //nolint:containedctx // of the step, which ends with it
	events int
	began  time.Time
	span   trace.Span // nil: nobody records it
}

// end tells how it ended.
func (c *commit) end(err error) {
	failure := failedAs(c.ctx, err)
	c.duration.Record(c.ctx, time.Since(c.began).Seconds(), c.stored[failure]...)
	if failure == "" {
		c.size.Record(c.ctx, int64(c.events), c.stored[""]...)
	}
	if c.span == nil {
		return
	}
	if failure != "" {
		c.span.SetAttributes(attribute.String("error.type", failure))
		c.span.SetStatus(codes.Error, "commit failed") // what the error says may be personal
	}
	c.span.End()
}

// failedAs returns the kind of an error, or "" for none.
func failedAs(ctx context.Context, err error) string {
	if err == nil {
		return ""
	}
	if _, refused := errors.AsType[*refusedError](err); refused {
		return failedConflict
	}
	if ctx.Err() != nil {
		return failedCancelled
	}
	return failedOther
}
