package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The kinds of failures of attempts, as error.type has them.
const (
	failedRetry   = "retry"   // it will be tried again, or was the last attempt
	failedDrop    = "drop"    // see Drop
	failedTimeout = "timeout" // see Group.Timeout
	failedPanic   = "panic"
	failedStop    = "stop" // cut short by the end of the process
)

// meters are what a group tells of its work. Their names are in the documentation of
// package telemetry, and stay as they are.
type meters struct {
	attempt  metric.Float64Histogram
	retries  metric.Int64Counter
	letters  metric.Int64Counter
	filtered metric.Int64Counter
	consumed metric.Int64ObservableCounter

	running, held, lag, redelivered, healthy metric.Int64ObservableGauge
	lagTime                                  metric.Float64ObservableGauge

	meter  metric.Meter
	group  metric.MeasurementOption // the attributes of the group
	adding []metric.AddOption       // the same
	kinds  map[string]map[string][]metric.RecordOption
	left   map[string][]metric.AddOption // by event type, those that are left out
	reason map[Reason][]metric.AddOption
}

// newMeters makes those of g, whose handlers are of these event types. Nothing is
// measured where they cannot be made.
func newMeters(provider metric.MeterProvider, g Group, all handlers) (meters, error) {
	m := meters{meter: provider.Meter("sluice/pkg/bus")}
	var errs []error
	gauge := func(name, unit, description string) metric.Int64ObservableGauge {
		made, err := m.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return made
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		made, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return made
	}
	var err error
	m.attempt, err = m.meter.Float64Histogram("messaging.process.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of one attempt of a handler."),
		metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	errs = append(errs, err)
	m.consumed, err = m.meter.Int64ObservableCounter("messaging.client.consumed.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages delivered to the group."))
	errs = append(errs, err)
	m.retries = counter("sluice.handler.retries", "{attempt}", "Attempts that will be made again.")
	m.letters = counter("sluice.handler.dead_letters", "{message}", "Messages given up.")
	m.filtered = counter("sluice.handler.filtered", "{message}", "Messages that the group's route leaves out, by event type.")
	m.running = gauge("sluice.handler.running", "{message}", "Handlers at work.")
	m.held = gauge("sluice.handler.held", "{message}", "Messages in hand: delivered and not settled.")
	m.lag = gauge("sluice.handler.lag", "{message}", "Messages that are not handled yet, whoever has them.")
	m.redelivered = gauge("sluice.handler.redelivered", "{message}", "Messages not handled yet that were delivered more than once.")
	m.healthy = gauge("sluice.handler.healthy", "1", "1, or 0 when the group's Health has something to say.")
	m.lagTime, err = m.meter.Float64ObservableGauge("sluice.handler.lag.time", metric.WithUnit("s"),
		metric.WithDescription("How long the first message that is not handled has been waiting, as far as the process knows."))
	errs = append(errs, err)
	m.describe(g, all)
	return m, errors.Join(errs...)
}

// describe makes the attributes of all that will be measured.
func (m *meters) describe(g Group, all handlers) {
	group := []attribute.KeyValue{
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.name", g.Stream),
		attribute.String("messaging.consumer.group.name", g.Name),
	}
	with := func(more ...attribute.KeyValue) attribute.Set {
		return attribute.NewSet(append(slices.Clip(group), more...)...)
	}
	m.group = metric.WithAttributeSet(with())
	m.adding = []metric.AddOption{metric.WithAttributeSet(with())}
	m.reason = make(map[Reason][]metric.AddOption)
	for _, reason := range []Reason{ReasonAttempts, ReasonDropped, ReasonUndecodable, ReasonForeign, ReasonParked} {
		m.reason[reason] = []metric.AddOption{metric.WithAttributeSet(with(attribute.String("sluice.deadletter.reason", string(reason))))}
	}
	m.kinds = make(map[string]map[string][]metric.RecordOption)
	m.left = make(map[string][]metric.AddOption)
	for kind, template := range all.kinds(g) {
		m.left[kind] = []metric.AddOption{metric.WithAttributeSet(with(attribute.String("messaging.destination.template", template)))}
		of := []attribute.KeyValue{
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.destination.template", template),
		}
		m.kinds[kind] = map[string][]metric.RecordOption{"": {metric.WithAttributeSet(with(of...))}}
		for _, failure := range []string{failedRetry, failedDrop, failedTimeout, failedPanic, failedStop} {
			m.kinds[kind][failure] = []metric.RecordOption{metric.WithAttributeSet(with(append(of, attribute.String("error.type", failure))...))}
		}
	}
}

// kinds returns what messages are handled, by event type: what each is called where
// its id must not appear. That of whole messages is under the empty type.
func (h handlers) kinds(g Group) map[string]string {
	kinds := map[string]string{"": g.Name}
	for eventType := range h.byType {
		kinds[eventType] = eventType
	}
	return kinds
}

// now returns the time if somebody wants to know how long an attempt takes.
func (m *meters) now(ctx context.Context) (began time.Time) {
	if m.attempt.Enabled(ctx) {
		began = time.Now()
	}
	return began
}

func (m *meters) attempted(ctx context.Context, kind, failure string, began time.Time) {
	if !began.IsZero() {
		m.attempt.Record(ctx, time.Since(began).Seconds(), m.kinds[kind][failure]...)
	}
}

func (m *meters) retried(ctx context.Context) { m.retries.Add(ctx, 1, m.adding...) }

func (m *meters) passed(ctx context.Context, kind string) { m.filtered.Add(ctx, 1, m.left[kind]...) }

func (m *meters) buried(ctx context.Context, reason Reason) {
	m.letters.Add(ctx, 1, m.reason[reason]...)
}

// seen is what the server said last about the consumer.
type seen struct {
	at        time.Time
	pending   uint64 // not delivered yet
	unsettled uint64 // delivered and not acknowledged
	again     uint64 // of them, delivered more than once
	delivered bool   // something was delivered since, so pending is that of the latest delivery
	floor     uint64
	stuck     time.Time // since when something waits and the floor has not moved; zero: nothing does
}

// seenFor is how long word from the server counts: it is asked every few seconds.
const seenFor = time.Minute

// note keeps what the server says about the consumer.
func (c *Consumer) note(info *jetstream.ConsumerInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := seen{
		at: time.Now(), pending: info.NumPending, unsettled: uint64(info.NumAckPending), again: uint64(info.NumRedelivered),
		floor: info.AckFloor.Stream,
	}
	if next.pending+next.unsettled > 0 {
		next.stuck = next.at
		if c.seen.floor == next.floor && !c.seen.stuck.IsZero() {
			next.stuck = c.seen.stuck
		}
	}
	c.seen = next
}

// measure lets the group be measured until stop is called.
func (c *Consumer) measure() (stop func()) {
	m := &c.meters
	for _, of := range m.reason { // so that the first dead letter is more than there were before
		m.letters.Add(context.Background(), 0, of...)
	}
	registered, err := m.meter.RegisterCallback(c.observe, m.consumed, m.running, m.held, m.lag, m.redelivered, m.healthy, m.lagTime)
	if err != nil {
		c.cfg.Log.Warn("group is not measured", "group", c.group.Name, "error", err)
		return func() {}
	}
	return func() {
		if err := registered.Unregister(); err != nil {
			c.cfg.Log.Warn("group is measured no longer than it runs", "group", c.group.Name, "error", err)
		}
	}
}

// observe tells what is known, and asks nobody.
func (c *Consumer) observe(_ context.Context, o metric.Observer) error {
	m := &c.meters
	healthy := int64(0)
	if c.Health() == nil {
		healthy = 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	running, first := int64(0), now
	for it := range maps.Values(c.held) {
		if it.running {
			running++
		}
		if it.message.Time.Before(first) {
			first = it.message.Time
		}
	}
	o.ObserveInt64(m.healthy, healthy, m.group)
	o.ObserveInt64(m.consumed, c.consumed, m.group)
	o.ObserveInt64(m.running, running, m.group)
	o.ObserveInt64(m.held, int64(len(c.held)), m.group)
	if now.Sub(c.seen.at) > seenFor && !c.seen.delivered {
		return nil // how much there is to do is not known
	}
	lag := c.seen.pending + c.seen.unsettled
	if c.seen.delivered {
		lag = c.seen.pending + uint64(len(c.held))
	}
	if lag > 0 && len(c.held) == 0 && !c.seen.stuck.IsZero() {
		first = c.seen.stuck
	}
	o.ObserveInt64(m.lag, int64(lag), m.group)
	o.ObserveFloat64(m.lagTime, now.Sub(first).Seconds(), m.group)
	o.ObserveInt64(m.redelivered, int64(c.seen.again), m.group)
	return nil
}

// errPanic is the error of an attempt that panicked.
var errPanic = errors.New("handler panicked")

// failure returns the kind of an attempt's error, or "" for none.
func failure(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errPanic):
		return failedPanic
	case context.Cause(ctx) == errTimeout: //nolint:errorlint // the very one
		return failedTimeout
	case ctx.Err() != nil:
		return failedStop
	}
	if _, dropped := errors.AsType[*dropError](err); dropped {
		return failedDrop
	}
	return failedRetry
}

// unmeasured says that meters cannot be made, which keeps nobody from handling.
func (c *Consumer) unmeasured(err error) {
	if err != nil {
		c.cfg.Log.Warn("group is not measured", "group", c.group.Name, "error", fmt.Errorf("make the meters: %w", err))
	}
}
