package registry

import (
	"context"
	"sync/atomic"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
)

// monitor checks one instance again and again. It goes on where the record of the last
// check ends: with as many failures in a row and, unless something about the check has
// changed, when the next is due.
type monitor struct {
	checker *checker
	name    string
	resumed bool                     // the check is as it was, so it is not due before its time
	current atomic.Pointer[instance] // as the history has it
	cancel  context.CancelFunc
	done    chan struct{}
}

// start makes a monitor of i check it until it is stopped.
func (m *monitor) start(ctx context.Context, i instance) *monitor {
	ctx, m.cancel = context.WithCancel(ctx)
	m.done = make(chan struct{})
	m.current.Store(&i)
	go func() {
		defer close(m.done)
		m.run(ctx)
	}()
	return m
}

// stop ends the check that is running, which then counts for nothing, and waits for it.
func (m *monitor) stop() {
	m.cancel()
	<-m.done
}

// fits reports whether i is the same registration and is checked in the same way, so
// that the monitor need not begin anew.
func (m *monitor) fits(i instance) bool {
	now := *m.current.Load()
	return now.ID == i.ID && now.Registered.Equal(i.Registered) && now.Check == i.Check
}

func (m *monitor) run(ctx context.Context) {
	last, err := m.checker.checks.get(ctx, m.name, m.current.Load().ID)
	if err != nil {
		m.checker.log.WarnContext(ctx, "the last heartbeat is not known", "service_name", m.name, "error", err)
	}
	if i := m.current.Load(); !last.Registered.Equal(i.Registered) {
		last = checked{Registered: i.Registered}
	}
	if m.resumed && !pause(ctx, untilDue(last, m.current.Load().Check.Every())) {
		return
	}
	for ctx.Err() == nil {
		began := time.Now()
		i := *m.current.Load()
		if failure, ok := m.checker.probe(ctx, i); ok {
			var v verdict
			last.Failures, v = judge(last.Failures, failure, i.Check.Retries)
			if failure == "" {
				last.Success = time.Now().UTC()
			}
			if err := m.note(ctx, i, v, last); err != nil && ctx.Err() == nil {
				m.checker.log.WarnContext(ctx, "a check could not be recorded", "service_name", m.name, "instance", i.ID, "error", err)
			}
		}
		if !pause(ctx, time.Until(began.Add(i.Check.Every()))) {
			return
		}
	}
}

// untilDue returns when the check after last is due: at once, or within an interval, also
// when it was recorded by a clock that is ahead.
func untilDue(last checked, every time.Duration) time.Duration {
	return min(time.Until(last.At.Add(every)), every)
}

// note records what came of a check: the status, if it is another, and then that there
// was one. Without the first the second would vouch for a status that is wrong.
func (m *monitor) note(ctx context.Context, i instance, v verdict, last checked) error {
	if v.status != "" && v.status != i.Status {
		ctx := event.WithMetadata(ctx, event.Metadata{CorrelationID: event.NewID()})
		result, err := m.checker.services.Do(ctx, aggregate.Command[service]{
			ID:     m.name,
			Decide: func(s service) ([]event.Data, error) { return report(s, i, v, time.Now().UTC()) },
		})
		if err != nil {
			return err
		}
		if now, ok := result.State.find(i.ID); ok && m.fits(now) {
			m.current.Store(&now)
		}
	}
	last.At = time.Now().UTC()
	return m.checker.checks.put(ctx, m.name, i.ID, last)
}
