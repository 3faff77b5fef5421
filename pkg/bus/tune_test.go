package bus_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

func tune(t *testing.T, c *bus.Consumer, change func(*bus.Group)) {
	t.Helper()
	g := group
	change(&g)
	if err := c.Tune(g); err != nil {
		t.Fatal(err)
	}
}

// TestTuneConcurrency: more handlers run as soon as more may, fewer as soon as those
// under way have ended, and nothing is left behind.
func TestTuneConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var running atomic.Int64
	began, leave := make(chan int64, 100), make(chan struct{})
	g := group
	g.Concurrency = 1
	c := startGroup(t, w.js, g, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error {
		began <- running.Add(1)
		<-leave
		running.Add(-1)
		return nil
	}))
	for n := range 12 {
		place(t, w.js, "o-"+strconv.Itoa(n), n)
	}
	if n := receive(t, began, 1)[0]; n != 1 {
		t.Fatalf("%d handlers began", n)
	}
	tune(t, c, func(g *bus.Group) { g.Concurrency = 4 })
	if got := receive(t, began, 3); got[2] != 4 {
		t.Fatalf("after more were allowed %v ran", got)
	}
	tune(t, c, func(g *bus.Group) { g.Concurrency = 2 })
	for range 3 {
		leave <- struct{}{} // of the four at most one gives its place to another
	}
	if n := receive(t, began, 1)[0]; n > 2 {
		t.Errorf("%d handlers ran where two may", n)
	}
	close(leave)
	for _, n := range receive(t, began, 7) {
		if n > 2 {
			t.Errorf("%d handlers ran where two may", n)
		}
	}
	w.settled(t, 12)
}

// TestTuneRetries: what waits and what comes is given up after as many attempts as hold
// then; the attempts made before count.
func TestTuneRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tried := make(chan int, 100)
	g := group
	g.MaxAttempts, g.MaxBackoff = 1000, 5*time.Millisecond
	c := startGroup(t, w.js, g, bus.Config{}, bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		n, _ := bus.Attempt(ctx)
		select {
		case tried <- n:
		default:
		}
		return errFlaky
	}))
	place(t, w.js, "o-1", 1)
	receive(t, tried, 5)
	tune(t, c, func(g *bus.Group) { g.MaxAttempts = 3 })
	if letter := w.letters(t, 1)[0]; letter.Attempts < 5 || letter.Reason != bus.ReasonAttempts {
		t.Errorf("given up as %+v", letter)
	}
	place(t, w.js, "o-2", 2)
	if letter := w.letters(t, 2)[1]; letter.Attempts != 3 {
		t.Errorf("given up after %d attempts", letter.Attempts)
	}
	w.settled(t, 2)
}

// TestTuneRateAndTimeout: a group that crawls runs as soon as it may, and an attempt that
// may take no time ends.
func TestTuneRateAndTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan int, 100)
	g := group
	g.Rate = 0.01
	c := startGroup(t, w.js, g, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		if e.Data.N == 9 {
			<-ctx.Done()
			got <- 9
			return bus.Drop(ctx.Err())
		}
		got <- e.Data.N
		return nil
	}))
	for n := range 5 {
		place(t, w.js, "o-1", n)
	}
	inOrder(t, got, 0, 0) // the burst; the next would come after 100 s
	tune(t, c, func(g *bus.Group) { g.Rate = 0 })
	inOrder(t, got, 1, 4)
	tune(t, c, func(g *bus.Group) { g.Timeout = 10 * time.Millisecond })
	place(t, w.js, "o-1", 9)
	inOrder(t, got, 9, 9)
	w.settled(t, 6)
}

// TestTuneIsAllOrNothing also holds for what is no limit: the order of a group.
func TestTuneIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := bus.Consume(w.js, group, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return nil }))
	if c.Group() != group.Name {
		t.Error(c.Group())
	}
	g := group
	g.MaxAttempts, g.MinBackoff, g.Rate = -1, time.Hour, -1
	if err := c.Tune(g); err == nil || !strings.Contains(err.Error(), "max_attempts is negative") || !strings.Contains(err.Error(), "rate is negative") {
		t.Error(err)
	}
	tune(t, c, func(g *bus.Group) { g.MaxAttempts = 2 }) // before it is started
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, c)
	tune(t, c, func(g *bus.Group) { g.Rate, g.Concurrency = 5, 1 }) // when it has stopped
}

// TestTuneUnderLoad changes everything while messages come, of which each is handled.
func TestTuneUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var handled atomic.Int64
	c := startGroup(t, w.js, group, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		if n, _ := bus.Attempt(ctx); n == 1 && e.Data.N%7 == 0 {
			return errFlaky
		}
		handled.Add(1)
		return nil
	}))
	const total = 400
	for n := range total {
		place(t, w.js, "o-"+strconv.Itoa(n%13), n)
		tune(t, c, func(g *bus.Group) {
			g.Concurrency, g.MaxAttempts, g.Rate, g.Burst = 1+n%5, 4+n%3, float64(n%2)*1e4, 50
			g.Timeout, g.MaxBackoff = time.Duration(n%2)*time.Minute, time.Duration(10+n%10)*time.Millisecond
		})
	}
	w.settled(t, total)
	if n := handled.Load(); n < total {
		t.Errorf("%d of %d were handled", n, total)
	}
}
