package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// A pinned consumer has one active client; another takes over what it leaves, in order.
func TestPinnedTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"active"}, time.Second
	})
	run := func() (*bus.Consumer, chan int) {
		got := make(chan int, 100)
		return start(t, w.js, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
			got <- e.Data.N
			return nil
		})), got
	}
	active, first := run()
	place(t, w.js, "o-1", 0)
	receive(t, first, 1)
	_, second := run()
	for n := 1; n <= 20; n++ {
		place(t, w.js, "o-1", n)
	}
	receive(t, first, 20)
	if len(second) != 0 {
		t.Error("two clients are active")
	}
	stop(t, active)
	for n := 21; n <= 40; n++ {
		place(t, w.js, "o-1", n)
	}
	for i, n := range receive(t, second, 20) {
		if n != 21+i {
			t.Errorf("handled %d where %d was due", n, 21+i)
		}
	}
	w.settled(t, 41)
}
