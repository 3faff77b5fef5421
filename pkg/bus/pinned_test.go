package bus_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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

// While the pin moves from one process to the other and back, both come to hold messages
// that the other one waits for. When it stays, all is handled soon, and in order.
func TestPinThatMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"active"}, time.Minute
		c.AckWait, c.MaxAckPending = time.Second, 1000
	})
	stream, err := w.js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	const keys, each = 20, 40
	var mu sync.Mutex
	handled := make(map[string]int)
	done := make(chan struct{}, keys*each)
	for range 2 {
		start(t, w.js, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Data.N > handled[e.Subject]+1 {
				t.Errorf("of %s %d was handled after %d", e.Subject, e.Data.N, handled[e.Subject])
			}
			if e.Data.N == handled[e.Subject]+1 {
				handled[e.Subject]++
				done <- struct{}{}
			}
			return nil
		}))
	}
	for n := 1; n <= each; n++ {
		for key := range keys {
			place(t, w.js, fmt.Sprint("o-", key), n)
		}
		if err := stream.UnpinConsumer(t.Context(), group.Name, "active"); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, done, keys*each)
}

// A process that stands by is well, however long the active one keeps a failing
// message back.
func TestStandbyIsHealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"active"}, time.Minute
		c.AckWait = 100 * time.Millisecond
	})
	tried := make(chan struct{}, 1000)
	g := group
	g.MaxAttempts = 1000
	failing := bus.On(func(context.Context, event.Of[placed]) error {
		tried <- struct{}{}
		return errFlaky
	})
	startGroup(t, w.js, g, bus.Config{}, failing)
	place(t, w.js, "o-1", 1)
	receive(t, tried, 1)
	second := startGroup(t, w.js, g, bus.Config{}, failing)
	for range 20 { // attempts of the active one, up to 40 ms apart
		receive(t, tried, 1)
		if err := second.Health(); err != nil {
			t.Fatal(err)
		}
	}
}

// A message of a pinned consumer is as it was published, although the server delivers
// it with a header of its own, and whatever an outsider writes there.
func TestPinnedMessagesAreAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything, func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"active"}, time.Second
	})
	got := make(chan bus.Message, 10)
	start(t, w.js, bus.Config{}, bus.OnMessage(func(_ context.Context, m bus.Message) error {
		got <- m
		return nil
	}))
	headers := []nats.Header{nil, {"x": {"1"}}, {"Nats-Pin-Id": {"forged"}}, {"Nats-Pin-Id": {"a", "b"}, "y": {"2"}}}
	for _, h := range headers {
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "order.what", Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range receive(t, got, len(headers)) {
		if !reflect.DeepEqual(m.Header, headers[i]) {
			t.Errorf("message %d has the headers %v, not %v", i, m.Header, headers[i])
		}
	}
	w.settled(t, uint64(len(headers)))
}
