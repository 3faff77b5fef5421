package bus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// ledger notes what was handled with success, and complains when a key goes back to
// what came before something handled already, or runs twice at once.
type ledger struct {
	mu      sync.Mutex
	running map[string]bool
	done    map[string][]uint64
	faults  []string
	handled chan struct{}
}

func newLedger() *ledger {
	return &ledger{running: map[string]bool{}, done: map[string][]uint64{}, handled: make(chan struct{}, 100_000)}
}

func (l *ledger) begin(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[e.Subject] {
		l.faults = append(l.faults, e.Subject+" runs twice at once")
	}
	l.running[e.Subject] = true
}

func (l *ledger) end(e event.Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[e.Subject] = false
	if !ok {
		return
	}
	done := l.done[e.Subject]
	if n := len(done); n > 0 && done[n-1] > e.Sequence {
		l.faults = append(l.faults, fmt.Sprintf("%s: %d after %d", e.Subject, e.Sequence, done[n-1]))
	}
	if n := len(done); n == 0 || done[n-1] != e.Sequence {
		l.done[e.Subject] = append(done, e.Sequence)
		l.handled <- struct{}{}
	}
}

// check compares with what was published, key by key.
func (l *ledger) check(t *testing.T, want map[string][]uint64) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		t.Error(f)
	}
	for key, sequences := range want {
		if got := fmt.Sprint(l.done[key]); got != fmt.Sprint(sequences) {
			t.Errorf("%s: handled %s, published %v", key, got, sequences)
		}
	}
}

// flaky returns a handler that fails now and then, and notes what it does.
func (l *ledger) flaky() bus.Handler {
	return bus.On(func(ctx context.Context, e event.Of[placed]) error {
		l.begin(e.Event)
		n, most := bus.Attempt(ctx)
		fail := n < most && rand.IntN(5) == 0
		l.end(e.Event, !fail)
		if fail {
			return errFlaky
		}
		return nil
	})
}

// publishMany publishes n events of some keys and returns their sequences by key.
func publishMany(t *testing.T, js jetstream.JetStream, n, keys int) map[string][]uint64 {
	t.Helper()
	want := make(map[string][]uint64)
	for i := range n {
		id := "o-" + strconv.Itoa(rand.IntN(keys))
		want[id] = append(want[id], place(t, js, id, i).Sequence)
	}
	return want
}

func TestOrderPerKeyUnderFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 100 })
	l := newLedger()
	g := group
	g.MaxAttempts = 12
	c := bus.Consume(w.js, g, bus.Config{}, l.flaky())
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := publishMany(t, w.js, 2000, 40)
	receive(t, l.handled, 2000)
	w.settled(t, 2000)
	l.check(t, want)
	stop(t, c)
}

// A handler may take longer than the consumer's AckWait, and so may what waits behind it.
func TestLongHandlerIsNotRedelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.AckWait = 600 * time.Millisecond })
	g := group
	g.Concurrency = 1
	runs := make(chan int, 10)
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		runs <- e.Data.N
		select {
		case <-time.After(900 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	place(t, w.js, "o-1", 2)
	last := place(t, w.js, "o-2", 3)
	receive(t, runs, 3)
	w.settled(t, last.Sequence)
	consumer, err := w.js.Consumer(t.Context(), "ORDERS", group.Name)
	if err != nil {
		t.Fatal(err)
	}
	if info := consumer.CachedInfo(); info.Delivered.Consumer != 3 || info.NumRedelivered != 0 {
		t.Errorf("3 messages, %d deliveries, %d redelivered", info.Delivered.Consumer, info.NumRedelivered)
	}
	stop(t, c)
}

// What was in hand when a process died comes back first, key by key in order, and
// what is new waits for it.
func TestOrderSurvivesACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := publishMany(t, w.js, 60, 6)
	nc := w.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	hang := make(chan struct{})
	reached := make(chan struct{}, 100)
	victim := bus.Consume(js, group, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		if e.Data.N < 20 && e.Subject != "o-0" {
			l.begin(e.Event)
			l.end(e.Event, true)
			return nil
		}
		reached <- struct{}{}
		<-hang
		return errFlaky
	}))
	if err := victim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	receive(t, reached, 6)
	w.acked(t, 60, func() int { return len(l.handled) })
	nc.Close()
	late := publishMany(t, w.js, 60, 6)
	for key, sequences := range late {
		want[key] = append(want[key], sequences...)
	}
	c := start(t, w.js, bus.Config{}, l.flaky())
	receive(t, l.handled, 120)
	w.settled(t, 120)
	l.check(t, want)
	if err := c.Health(); err != nil {
		t.Error(err)
	}
	close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := victim.Stop(ctx); err == nil {
		t.Error("Stop without a connection reports success")
	}
}

// What a predecessor held may be deleted from the stream meanwhile.
func TestDeletedPendingMessagesAreNotAwaited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour })
	first := place(t, w.js, "o-1", 1)
	consumer, err := w.js.Consumer(t.Context(), "ORDERS", group.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Next(); err != nil {
		t.Fatal(err)
	}
	second := place(t, w.js, "o-1", 2)
	got := make(chan int, 10)
	start(t, w.js, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		got <- e.Data.N
		return nil
	}))
	eventually(t, func() string {
		if err := consumer.CachedInfo(); err == nil {
			return "no info"
		}
		info, err := consumer.Info(t.Context())
		if err != nil || info.Delivered.Stream != second.Sequence {
			return "the second message is not delivered"
		}
		return ""
	})
	if len(got) != 0 {
		t.Error("handled before the older one was settled")
	}
	stream, err := w.js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), first.Sequence); err != nil {
		t.Fatal(err)
	}
	if n := receive(t, got, 1)[0]; n != 2 {
		t.Errorf("handled %d", n)
	}
	w.settled(t, second.Sequence)
}

// Deliveries that get lost on the way come back before anything later is handled.
func TestLostDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan int, 10)
	start(t, w.js, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		got <- e.Data.N
		return nil
	}))
	place(t, w.js, "o-1", 1)
	receive(t, got, 1)
	consumer, err := w.js.Consumer(t.Context(), "ORDERS", group.Name)
	if err != nil {
		t.Fatal(err)
	}
	// A second client takes messages in turn with the consumer and loses them.
	lost, err := consumer.Fetch(10, jetstream.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var last event.Event
	for n := 2; n <= 9; n++ {
		last = place(t, w.js, "o-1", n)
	}
	stolen := 0
	for range lost.Messages() {
		stolen++
	}
	if stolen == 0 {
		t.Error("nothing was lost")
	}
	for i, n := range receive(t, got, 8) {
		if n != i+2 {
			t.Errorf("handled %d where %d was due", n, i+2)
		}
	}
	w.settled(t, last.Sequence)
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := newLedger()
	g := group
	g.MaxAttempts = 20
	c := bus.Consume(w.js, g, bus.Config{}, l.flaky())
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := publishMany(t, w.js, 200, 10)
	for range 2 {
		w.Restart(t)
		eventually(t, func() string {
			_, err := w.js.Stream(t.Context(), "ORDERS")
			if err != nil {
				return "not connected again"
			}
			return ""
		})
		for key, sequences := range publishMany(t, w.js, 200, 10) {
			want[key] = append(want[key], sequences...)
		}
	}
	w.settled(t, 600)
	l.check(t, want)
	eventually(t, func() string {
		if err := c.Health(); err != nil {
			return err.Error()
		}
		return ""
	})
	stop(t, c)
}

func TestKeyChoosesTheLane(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	begun := make(chan string, 10)
	start(t, w.js, bus.Config{Key: func(m bus.Message) string { return m.Header.Get("lane") }},
		bus.On(func(_ context.Context, e event.Of[placed]) error {
			begun <- e.Subject
			<-release
			return nil
		}))
	for _, x := range []struct{ id, lane string }{{"o-1", "a"}, {"o-2", "a"}, {"o-3", "b"}} {
		e, err := events.New(t.Context(), x.id, placed{})
		if err != nil {
			t.Fatal(err)
		}
		header, data := event.Encode(e)
		header.Set("lane", x.lane)
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range receive(t, begun, 2) {
		if id == "o-2" {
			t.Error("o-2 did not wait for o-1 in its lane")
		}
	}
	close(release)
	receive(t, begun, 1)
}
