package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/aggregate"
	"sluice/pkg/projection"
	"sluice/streams"
)

// checker checks the registered instances, asks for those on NATS, and raises alerts. Of several replicas
// one does, the one that holds the lease: if all did, each instance would be asked as
// often as there are replicas, and two replicas that see the network differently would
// call it healthy and unhealthy in turns. When two do for a moment, each change of status
// still is one event, because the second finds that it has happened.
type checker struct {
	nc       *nats.Conn
	services *aggregate.Aggregates[service]
	view     *projection.View[service]
	checks   checks
	prober   prober
	presence presence
	alarm    alarm
	lease    lease
	log      *slog.Logger

	changed notes
	slots   chan struct{} // holds a token for each check that runs
	sub     *nats.Subscription
	cancel  context.CancelFunc
	done    chan struct{}
}

const (
	parallelChecks = 256
	// resync is how often the checker compares itself with the read model: live copies of
	// events, which tell it of changes at once, may be lost.
	resync = 10 * time.Second
	// retryAfter is when what could not be read is read again.
	retryAfter = time.Second
)

// Start subscribes to changes of services and begins to contend for the lease.
func (c *checker) Start(ctx context.Context) error {
	c.slots, c.done = make(chan struct{}, parallelChecks), make(chan struct{})
	c.changed.wake = make(chan struct{}, 1)
	prefix := "feed." + streams.Services.Entity + "."
	sub, err := c.nc.Subscribe(prefix+"*.*", func(m *nats.Msg) {
		_, name, _ := strings.Cut(strings.TrimPrefix(m.Subject, prefix), ".")
		c.changed.add(name)
	})
	if err != nil {
		return fmt.Errorf("follow changes of services: %w", err)
	}
	c.sub = sub
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(c.done)
		c.lease.hold(ctx, func(ctx context.Context) {
			var all sync.WaitGroup
			all.Go(func() { c.lead(ctx) })
			all.Go(func() { c.presence.lead(ctx) })
			all.Go(func() { c.alarm.lead(ctx) })
			all.Wait()
		})
	}()
	return nil
}

// Stop ends all checks, which then count for nothing, and gives the lease back.
func (c *checker) Stop(ctx context.Context) error {
	c.cancel()
	err := c.sub.Unsubscribe()
	if errors.Is(err, nats.ErrConnectionClosed) {
		err = nil
	}
	select {
	case <-c.done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("stop checking services: %w", context.Cause(ctx)))
	}
}

// probe makes one check, or none while too many run. What happens without a connection
// to NATS is no word on the instance: then it may be this machine that is cut off.
func (c *checker) probe(ctx context.Context, i instance) (failure string, ok bool) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return "", false
	}
	if !c.nc.IsConnected() {
		return "", false
	}
	failure = c.prober.probe(ctx, i)
	return failure, ctx.Err() == nil && c.nc.IsConnected()
}

// watched is what the leader knows of one service.
type watched struct {
	version  uint64
	monitors map[string]*monitor // by instance
}

// lead checks all registered instances until ctx ends.
func (c *checker) lead(ctx context.Context) {
	known := make(map[string]*watched)
	defer func() {
		for _, w := range known {
			for _, m := range w.monitors {
				m.stop()
			}
		}
	}()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(resync)
			err = errors.Join(c.compareAll(ctx, known), c.compareChanged(ctx, known))
		case <-c.changed.wake:
			err = c.compareChanged(ctx, known)
		}
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "changes of services cannot be read", "error", err)
			next.Reset(retryAfter)
		}
	}
}

// compareAll brings monitors in line with the read model. It may be behind, so what it
// has not got is looked up in the history.
func (c *checker) compareAll(ctx context.Context, known map[string]*watched) error {
	all, err := listAll(ctx, c.view)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(all))
	for _, s := range all {
		there[s.Name] = true
		c.compare(ctx, known, s)
	}
	for name, w := range known {
		if !there[name] && len(w.monitors) > 0 {
			c.changed.add(name)
		}
	}
	return nil
}

// compareChanged brings monitors in line with the history of what has changed.
func (c *checker) compareChanged(ctx context.Context, known map[string]*watched) error {
	names := c.changed.take()
	for n, name := range names {
		found, err := c.services.Get(ctx, name)
		if errors.Is(err, aggregate.ErrNotFound) {
			continue
		}
		if err != nil {
			for _, left := range names[n:] {
				c.changed.addLater(left)
			}
			return err
		}
		c.compare(ctx, known, found.State)
	}
	return nil
}

// compare brings the monitors of one service in line with s, unless they are ahead.
func (c *checker) compare(ctx context.Context, known map[string]*watched, s service) {
	w := known[s.Name]
	resumed := w == nil // nobody checks it in this process
	if resumed {
		w = &watched{monitors: make(map[string]*monitor)}
		known[s.Name] = w
	}
	if s.Version <= w.version {
		return
	}
	w.version = s.Version
	for id, m := range w.monitors {
		i, ok := s.find(id)
		if ok && i.checked() && m.fits(i) {
			m.current.Store(&i)
			continue
		}
		m.stop()
		delete(w.monitors, id)
		if ok {
			continue
		}
		if err := c.checks.forget(ctx, s.Name, id); err != nil {
			c.log.InfoContext(ctx, "the record of an instance stays", "service_name", s.Name, "error", err)
		}
	}
	for _, i := range s.Instances {
		if i.checked() && w.monitors[i.ID] == nil {
			w.monitors[i.ID] = (&monitor{checker: c, name: s.Name, resumed: resumed}).start(ctx, i)
		}
	}
}

// notes are the names of services that have changed.
type notes struct {
	wake chan struct{} // has a value when there are some

	mu    sync.Mutex
	names map[string]bool
}

func (n *notes) add(name string) {
	n.addLater(name)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// addLater adds a name that is looked at with the next one.
func (n *notes) addLater(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names == nil {
		n.names = make(map[string]bool)
	}
	n.names[name] = true
}

func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := make([]string, 0, len(n.names))
	for name := range n.names {
		names = append(names, name)
	}
	n.names = nil
	return names
}
