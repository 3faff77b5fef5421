package bus_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// Stop lets the running handler finish and gives the rest to a successor, at once and
// in order, although AckWait is an hour.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour })
	begun, release := make(chan int, 10), make(chan struct{})
	old := start(t, w.js, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		begun <- e.Data.N
		<-release
		return nil
	}))
	for n := 1; n <= 5; n++ {
		place(t, w.js, "o-1", n)
	}
	receive(t, begun, 1)
	stopped := make(chan error, 1)
	go func() { stopped <- old.Stop(t.Context()) }()
	eventually(t, func() string {
		if old.Health() == nil {
			return "not stopping"
		}
		return ""
	})
	got := make(chan int, 10)
	start(t, w.js, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		got <- e.Data.N
		return nil
	}))
	last := place(t, w.js, "o-1", 6)
	close(release)
	if err := receive(t, stopped, 1)[0]; err != nil {
		t.Error(err)
	}
	for i, n := range receive(t, got, 5) {
		if n != i+2 {
			t.Errorf("the successor handled %d where %d was due", n, i+2)
		}
	}
	w.settled(t, last.Sequence)
	if len(begun) != 0 {
		t.Error("a handler started after Stop")
	}
}

// Acknowledgements are with the server when Stop returns, and handlers that are
// waiting for a retry do not delay it.
func TestStopLosesNoAcks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.MinBackoff, g.MaxBackoff = time.Hour, time.Hour
	var handled atomic.Int64
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		if e.Subject == "bad" {
			return errFlaky
		}
		handled.Add(1)
		return nil
	}))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "bad", 0)
	publishMany(t, w.js, 300, 300)
	stop(t, c)
	done := handled.Load()
	eventually(t, func() string {
		consumer, err := w.js.Consumer(t.Context(), "ORDERS", group.Name)
		if err != nil {
			return err.Error()
		}
		info := consumer.CachedInfo()
		if acked := int64(info.Delivered.Stream) - int64(info.NumAckPending); acked != done {
			return "handled and acknowledged differ"
		}
		return ""
	})
	if handled.Load() != done {
		t.Error("a handler ran after Stop")
	}
}

func TestStopCancelsHandlersThatTakeTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun := make(chan struct{}, 10)
	c := bus.Consume(w.js, group, bus.Config{}, bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	receive(t, begun, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	got := make(chan int, 1)
	start(t, w.js, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error {
		got <- 1
		return nil
	}))
	receive(t, got, 1)
	w.letters(t, 0)
}

func TestStopReportsHandlersThatIgnoreTheirContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, release := make(chan struct{}, 10), make(chan struct{})
	c := bus.Consume(w.js, group, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error {
		begun <- struct{}{}
		<-release
		return nil
	}))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	receive(t, begun, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	close(release)
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := bus.Consume(w.js, group, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return nil }))
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Start(t.Context()); err == nil {
		t.Error("started after Stop")
	}
}
