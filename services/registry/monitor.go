package registry

import (
	"context"
	"sync/atomic"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
)

// monitor checks one instance again and again, beginning at once. How many checks have
// failed in a row it keeps in memory: after a take-over counting begins anew.
type monitor struct {
	checker *checker
	name    string
	current atomic.Pointer[instance] // as the history has it
	cancel  context.CancelFunc
	done    chan struct{}
}

// watch starts a monitor that lives until it is stopped.
func (c *checker) watch(ctx context.Context, name string, i instance) *monitor {
	ctx, cancel := context.WithCancel(ctx)
	m := &monitor{checker: c, name: name, cancel: cancel, done: make(chan struct{})}
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
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		i := *m.current.Load()
		if failure, ok := m.checker.probe(ctx, i); ok {
			var v verdict
			failures, v = judge(failures, failure, i.Check.Retries)
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
