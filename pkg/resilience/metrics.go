package resilience

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meters are what the policies of a set tell, each time that metrics are collected. The
// names are for dashboards and alerts and stay as they are.
type meters struct {
	state                                        metric.Int64ObservableGauge
	changes, attempts, retries, unpaid, refusals metric.Int64ObservableCounter
}

func newMeters(m metric.Meter) (meters, error) {
	var errs []error
	counter := func(name, unit, description string) metric.Int64ObservableCounter {
		c, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	state, err := m.Int64ObservableGauge("sluice.breaker.state", metric.WithUnit("1"),
		metric.WithDescription("1 for the state that the circuit breaker is in, 0 for the others."))
	all := meters{
		state:    state,
		changes:  counter("sluice.breaker.changes", "{change}", "Changes of the circuit breaker to a state."),
		attempts: counter("sluice.call.attempts", "{attempt}", "Attempts of calls, repeats among them, by what they said of the target."),
		retries:  counter("sluice.call.retries", "{attempt}", "Attempts that were repeats."),
		unpaid:   counter("sluice.call.retries.unpaid", "{attempt}", "Repeats that the budget did not allow."),
		refusals: counter("sluice.call.refused", "{attempt}", "Attempts that did not get to the target."),
	}
	return all, errors.Join(append(errs, err)...)
}

// Measure lets the policies of s be measured until the registration is given up. about is
// said of all of them, such as which service calls. Each has the attribute
// sluice.policy.name, and is measured from the time that it is first asked for.
//
//	sluice.breaker.state        1          1 or 0 for each sluice.breaker.state: closed, open, half-open
//	sluice.breaker.changes      {change}   to each sluice.breaker.state
//	sluice.call.attempts        {attempt}  by sluice.call.outcome: answered, failed, ignored
//	sluice.call.retries         {attempt}  those of them that were repeats
//	sluice.call.retries.unpaid  {attempt}  repeats that the budget did not allow
//	sluice.call.refused         {attempt}  by sluice.call.reason: open, full, limited
//
// A policy without a breaker has no sluice.breaker.
func (s *Set) Measure(from metric.MeterProvider, about ...attribute.KeyValue) (metric.Registration, error) {
	meter := from.Meter("sluice/pkg/resilience")
	all, err := newMeters(meter)
	if err != nil {
		return nil, fmt.Errorf("make the meters: %w", err)
	}
	registered, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, p := range s.Snapshot() {
			all.observe(o, p, append(slices.Clip(about), attribute.String("sluice.policy.name", p.Policy)))
		}
		return nil
	}, all.state, all.changes, all.attempts, all.retries, all.unpaid, all.refusals)
	if err != nil {
		return nil, fmt.Errorf("register the meters: %w", err)
	}
	return registered, nil
}

func (all meters) observe(o metric.Observer, p Snapshot, of []attribute.KeyValue) {
	with := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributes(append(slices.Clip(of), more...)...)
	}
	count := func(c metric.Int64ObservableCounter, n uint64, more ...attribute.KeyValue) {
		o.ObserveInt64(c, int64(n), with(more...))
	}
	if !p.Since.IsZero() {
		for state := range states {
			in, is := attribute.String("sluice.breaker.state", state.String()), int64(0)
			if state == p.State {
				is = 1
			}
			o.ObserveInt64(all.state, is, with(in))
			count(all.changes, p.Changes[state], in)
		}
	}
	for outcome, n := range map[string]uint64{"answered": p.Counts.Answered, "failed": p.Counts.Failed, "ignored": p.Counts.Ignored} {
		count(all.attempts, n, attribute.String("sluice.call.outcome", outcome))
	}
	for reason, n := range map[string]uint64{"open": p.Counts.Open, "full": p.Counts.Full, "limited": p.Counts.Limited} {
		count(all.refusals, n, attribute.String("sluice.call.reason", reason))
	}
	count(all.retries, p.Counts.Repeated)
	count(all.unpaid, p.Counts.Unpaid)
}
