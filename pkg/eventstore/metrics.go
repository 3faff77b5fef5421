package eventstore

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// MeasuredBy says who takes what the store does, in OpenTelemetry's way; package
// telemetry has the names. The default is the process's provider, which by default is
// nobody.
func MeasuredBy(provider metric.MeterProvider) Option {
	return func(s *Store) { s.provider = provider }
}

// Meters returns the provider that the store is measured by.
func (s *Store) Meters() metric.MeterProvider { return s.provider }

// The kinds of failures, as error.type has them.
const (
	failedConflict  = "conflict"
	failedTaken     = "taken"
	failedTooLarge  = "too_large"
	failedInvalid   = "invalid"
	failedUnknown   = "unknown" // whether it was stored
	failedCancelled = "cancelled"
	failedOther     = "_OTHER"
)

// meters are what a store tells of its work. The names stay as they are.
type meters struct {
	append, load metric.Float64Histogram
	loaded       metric.Int64Histogram
	sent         metric.Int64Counter
	repairs      metric.Int64Counter

	appends map[string][]metric.RecordOption // by failure
	loads   map[string][]metric.RecordOption
	events  []metric.RecordOption
	counted []metric.AddOption // of appended events
	stream  []metric.AddOption
	sends   map[string]spanning // by type of the first event
}

// newMeters makes those of a store. What cannot be made measures nothing, and
// OpenTelemetry's own log says so.
func newMeters(provider metric.MeterProvider, s Stream, registry *event.Registry) *meters {
	meter := provider.Meter("sluice/pkg/eventstore")
	m := &meters{sends: sendings(s, registry)}
	var errs [5]error
	m.append, errs[0] = meter.Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Time to append one decision."), durations())
	m.load, errs[1] = meter.Float64Histogram("sluice.store.load.duration", metric.WithUnit("s"),
		metric.WithDescription("Time to load an aggregate."), durations())
	m.loaded, errs[2] = meter.Int64Histogram("sluice.store.load.events", metric.WithUnit("{event}"),
		metric.WithDescription("Events that a load read."), metric.WithExplicitBucketBoundaries(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
	m.sent, errs[3] = meter.Int64Counter("messaging.client.sent.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Events appended."))
	m.repairs, errs[4] = meter.Int64Counter("sluice.store.repairs", metric.WithUnit("{load}"),
		metric.WithDescription("Loads that had to read every message of the aggregate."))
	for _, err := range errs {
		if err != nil {
			otel.Handle(err)
		}
	}
	m.describe(s)
	return m
}

// durations are the boundaries for what takes from a tenth of a millisecond to seconds.
func durations() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
}

// describe makes the attributes of all that will be measured.
func (m *meters) describe(s Stream) {
	of := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more,
			attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", s.Name))...))
	}
	sending := []attribute.KeyValue{attribute.String("messaging.operation.name", "append"), attribute.String("messaging.operation.type", "send")}
	m.appends, m.loads = make(map[string][]metric.RecordOption), make(map[string][]metric.RecordOption)
	m.appends[""] = []metric.RecordOption{of(sending...)}
	m.loads[""] = []metric.RecordOption{of()}
	for _, failure := range []string{failedConflict, failedTaken, failedTooLarge, failedInvalid, failedUnknown, failedCancelled, failedOther} {
		kind := attribute.String("error.type", failure)
		m.appends[failure] = []metric.RecordOption{of(append([]attribute.KeyValue{kind}, sending...)...)}
		m.loads[failure] = []metric.RecordOption{of(kind)}
	}
	m.events = []metric.RecordOption{of()}
	m.counted = []metric.AddOption{of(sending...)}
	m.stream = []metric.AddOption{of()}
}

// now returns the time if somebody wants to know how long it takes.
func (m *meters) now(ctx context.Context, h metric.Float64Histogram) (began time.Time) {
	if h.Enabled(ctx) {
		began = time.Now()
	}
	return began
}

// appended tells how an append ended that began then.
func (m *meters) appended(ctx context.Context, began time.Time, events int, err error) {
	if began.IsZero() {
		return
	}
	m.append.Record(ctx, time.Since(began).Seconds(), m.appends[failure(ctx, err)]...)
	if err == nil {
		m.sent.Add(ctx, int64(events), m.counted...)
	}
}

// loadEnded tells how a load ended that began then.
func (m *meters) loadEnded(ctx context.Context, began time.Time, events int, err error) {
	if began.IsZero() {
		return
	}
	m.load.Record(ctx, time.Since(began).Seconds(), m.loads[failure(ctx, err)]...)
	if err == nil {
		m.loaded.Record(ctx, int64(events), m.events...)
	}
}

// failure returns the kind of an error, or "" for none.
func failure(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrConflict):
		return failedConflict
	case errors.Is(err, ErrTaken):
		return failedTaken
	case errors.Is(err, ErrTooLarge):
		return failedTooLarge
	case errors.Is(err, event.ErrInvalid):
		return failedInvalid
	case errors.Is(err, ErrOutcomeUnknown):
		return failedUnknown
	case ctx.Err() != nil:
		return failedCancelled
	}
	return failedOther
}

// spanning begins spans of one kind, whose name and attributes say nothing about a
// single event.
type spanning struct {
	name    string
	options []trace.SpanStartOption
}

// sendings returns the spans of appends, by the type of the first event.
func sendings(s Stream, registry *event.Registry) map[string]spanning {
	all := make(map[string]spanning)
	for _, eventType := range registry.Types() {
		all[eventType] = spanning{name: "send " + eventType, options: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
				attribute.String("messaging.system", "nats"),
				attribute.String("messaging.operation.name", "append"),
				attribute.String("messaging.operation.type", "send"),
				attribute.String("messaging.destination.name", s.Name),
				attribute.String("messaging.destination.template", eventType),
			),
		}}
	}
	return all
}

// sending begins the span of an append, in which the events are made: whoever reacts to
// them is its child. It is below a span that is recorded or not at all.
func (m *meters) sending(ctx context.Context, events []event.Event) (context.Context, trace.Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() || len(events) == 0 {
		return ctx, nil
	}
	of, ok := m.sends[events[0].Type]
	if !ok {
		return ctx, nil
	}
	ctx, span := telemetry.Start(ctx, of.name, of.options...)
	if len(events) > 1 {
		span.SetAttributes(attribute.Int("messaging.batch.message_count", len(events)))
	} else {
		span.SetAttributes(attribute.String("messaging.message.id", events[0].ID))
	}
	return ctx, span
}

// sentAs ends the span of an append. What the error says may be personal.
func sentAs(ctx context.Context, span trace.Span, err error) {
	if span == nil {
		return
	}
	if kind := failure(ctx, err); kind != "" {
		span.SetAttributes(attribute.String("error.type", kind))
		span.SetStatus(codes.Error, "append failed")
	}
	span.End()
}
