package discovery

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Change is what a watch saw since the change before it.
type Change struct {
	Joined []Instance
	Left   []Instance // as they were seen last
	Now    []Instance // all that are there, by name and id
}

// Watch yields how the instances of a service change, those of all services when name
// is "", until ctx ends or the loop is left. The first change has everybody in Joined;
// when nobody serves it, that is a change with nothing in it. An instance that answers
// differently, with another version or other endpoints, has left and joined.
//
// While NATS cannot be asked it yields the error, [ErrUnreachable] or [ErrTimeout], once
// for each outage, with the zero Change: nobody has left. How fresh changes are says
// the package. A watch asks only while its loop waits, and needs no goroutine.
func (c *Client) Watch(ctx context.Context, name string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if name != "" && checkName(name) != nil {
			yield(Change{}, ErrName)
			return
		}
		w := watch{}
		for ctx.Err() == nil {
			told := c.recheck.wait()
			now, err := c.cached.after(ctx, name, time.Now().Add(-c.cfg.Grace))
			if ctx.Err() != nil {
				return
			}
			if change, news, err := w.see(now, err); news && !yield(change, err) {
				return
			}
			if !c.pause(ctx, told, len(w.missing) > 0) {
				return
			}
		}
	}
}

// Recheck makes watches ask at once. Call it when a request found no responders.
func (c *Client) Recheck() { c.recheck.raise() }

// pause waits for the next question: an interval, give or take a fifth, and half of it
// when somebody is missing.
func (c *Client) pause(ctx context.Context, told <-chan struct{}, missing bool) bool {
	d := c.cfg.Interval
	if missing {
		d /= 2
	}
	d += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(d)) //nolint:gosec // G404: jitter needs no secrecy
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-told:
	case <-ctx.Done():
		return false
	}
	return true
}

// watch compares answers.
type watch struct {
	began, failing bool
	present        []Instance
	missing        map[string]bool // keys of those that were silent once
}

// see takes in an answer, or why there is none, and says what is news.
func (w *watch) see(now []Instance, err error) (change Change, news bool, reason error) {
	if err != nil && !errors.Is(err, ErrNoInstances) {
		news = !w.failing
		w.failing = true
		return Change{}, news, err
	}
	w.failing = false
	missing := make(map[string]bool)
	for _, before := range w.present {
		i := slices.IndexFunc(now, func(i Instance) bool { return i.Name == before.Name && i.ID == before.ID })
		switch {
		case i >= 0 && same(before, now[i]):
		case i < 0 && !w.missing[before.key()]:
			missing[before.key()] = true
			change.Now = append(change.Now, before) // once more
		default:
			change.Left = append(change.Left, before)
		}
	}
	for _, i := range now {
		if !slices.ContainsFunc(w.present, func(before Instance) bool { return same(before, i) }) {
			change.Joined = append(change.Joined, i)
		}
	}
	change.Now = append(change.Now, now...)
	slices.SortFunc(change.Now, compare)
	news = !w.began || len(change.Joined)+len(change.Left) > 0
	w.began, w.present, w.missing = true, change.Now, missing
	return change, news, nil
}

// same reports whether two answers say the same of the same instance.
func same(a, b Instance) bool {
	return a.Name == b.Name && a.ID == b.ID && a.Version == b.Version &&
		slices.EqualFunc(a.Endpoints, b.Endpoints, func(a, b Endpoint) bool { return a.Name == b.Name && a.Subject == b.Subject })
}

// signal wakes everybody who waits.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}
