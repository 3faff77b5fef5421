package endpoint

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/telemetry"
)

// mostCalled bounds the endpoints that a caller tells apart. The others are one.
const mostCalled = 1000

// otherMethod is what OpenTelemetry calls a method that is not told apart.
const otherMethod = "_OTHER"

// called is one endpoint as one service calls it.
type called struct {
	running  []metric.AddOption
	outcomes outcomes
	span     []trace.SpanStartOption
}

// calledKey tells who calls which endpoint.
type calledKey struct{ caller, subject string }

// callMeters are what a caller tells of its calls, each attempt by itself. The names are
// in the documentation of package telemetry, and stay as they are.
type callMeters struct {
	duration metric.Float64Histogram
	running  metric.Int64UpDownCounter

	mu  sync.RWMutex
	all map[calledKey]*called
}

// newCallMeters makes those of a caller. What cannot be made measures nothing, and
// OpenTelemetry's own log says so.
func newCallMeters(provider metric.MeterProvider) *callMeters {
	meter := provider.Meter("sluice/pkg/endpoint")
	m := &callMeters{all: make(map[calledKey]*called)}
	var errs [2]error
	m.duration, errs[0] = meter.Float64Histogram("rpc.client.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of one attempt of a call."), durations())
	m.running, errs[1] = meter.Int64UpDownCounter("sluice.call.running", metric.WithUnit("{call}"),
		metric.WithDescription("Calls that wait for their answer."))
	if err := errors.Join(errs[:]...); err != nil {
		otel.Handle(err)
	}
	return m
}

// of returns what is told of a call to subject. What the service makes of it, endpoint by
// endpoint, is made once.
func (m *callMeters) of(ctx context.Context, subject string) *called {
	key := calledKey{telemetry.ServiceOf(ctx), subject}
	m.mu.RLock()
	c, known := m.all[key]
	full := len(m.all) >= mostCalled
	m.mu.RUnlock()
	if known {
		return c
	}
	if full {
		key = calledKey{key.caller, otherMethod}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, known = m.all[key]; !known {
		c = newCalled(key)
		m.all[key] = c
	}
	return c
}

func newCalled(key calledKey) *called {
	service, _, _ := strings.Cut(strings.TrimPrefix(key.subject, subjectPrefix), ".")
	of := attributesOf(service, key.subject)
	span := []trace.SpanStartOption{asClient, trace.WithAttributes(of...)}
	if key.caller != "" {
		of = append(of, attribute.String("sluice.caller", key.caller))
	}
	return &called{
		running:  []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(of...))},
		outcomes: outcomesOf(of),
		span:     span,
	}
}

// attempt is one call under way, and how it is told.
type attempt struct {
	meters *callMeters
	called *called
	ctx    context.Context //nolint:containedctx // of the call, which ends with it
	span   trace.Span
	began  time.Time // zero: nobody measures
}

// begin starts the span of a call, and its clock.
func (m *callMeters) begin(ctx context.Context, subject string) attempt {
	a := attempt{meters: m, called: m.of(ctx, subject)}
	a.ctx, a.span = startSpan(ctx, subject, a.called.span)
	if m.duration.Enabled(ctx) {
		a.began = time.Now()
		m.running.Add(ctx, 1, a.called.running...)
	}
	return a
}

// end ends them.
func (a attempt) end(err error) {
	code := CodeOf(err)
	if errors.Is(err, context.Canceled) {
		code = cancelled
	}
	if !a.began.IsZero() {
		a.meters.running.Add(a.ctx, -1, a.called.running...)
		a.meters.duration.Record(a.ctx, time.Since(a.began).Seconds(), a.called.outcomes[code]...)
	}
	endSpan(a.span, code)
}
