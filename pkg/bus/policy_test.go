package bus_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// In a group that goes on, an event that waits for its next attempt holds up nothing,
// not even its own key; in one that holds, it does.
func TestGoOnAndHold(t *testing.T) {
	t.Parallel()
	for _, order := range []bus.Order{bus.GoOn, bus.Hold} {
		t.Run(order.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := group
			g.Order = order
			got := make(chan int, 10)
			startGroup(t, w.js, g, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
				if n, _ := bus.Attempt(ctx); e.Data.N == 0 && n == 1 {
					return bus.RetryAfter(300*time.Millisecond, errFlaky)
				}
				got <- e.Data.N
				return nil
			}))
			for n := range 3 {
				place(t, w.js, "o-1", n)
			}
			want := [3]int{1, 2, 0}
			if order == bus.Hold {
				want = [3]int{0, 1, 2}
			}
			if handled := receive(t, got, 3); [3]int(handled) != want {
				t.Errorf("handled %v, want %v", handled, want)
			}
			w.settled(t, 3)
		})
	}
}

// In a group that parks, what follows a dead letter of its key becomes one too, also
// for the process that takes over, until no letter of the key is left. Other keys go
// on.
func TestPark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.Order = bus.Park
	got := make(chan int, 100)
	h := bus.On(func(_ context.Context, e event.Of[placed]) error {
		if e.Data.N == 0 {
			return bus.Drop(errFlaky)
		}
		got <- e.Data.N
		return nil
	})
	c := startGroup(t, w.js, g, bus.Config{}, h)
	place(t, w.js, "o-1", 0)
	place(t, w.js, "o-1", 1)
	place(t, w.js, "o-2", 2)
	w.letters(t, 2)
	inOrder(t, got, 2, 2)
	w.settled(t, 3)
	stop(t, c)
	startGroup(t, w.js, g, bus.Config{}, h)
	place(t, w.js, "o-1", 3)
	place(t, w.js, "o-2", 4)
	inOrder(t, got, 4, 4)
	for i, l := range w.letters(t, 3) {
		want := []bus.Reason{bus.ReasonDropped, bus.ReasonParked, bus.ReasonParked}[i]
		if l.Reason != want || l.Subject != "order.placed.o-1" {
			t.Errorf("letter %d: %s %s", i, l.Reason, l.Subject)
		}
	}
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := range uint64(2) {
		if err := stream.DeleteMsg(t.Context(), sequence+1); err != nil {
			t.Fatal(err)
		}
	}
	parked := place(t, w.js, "o-1", 5) // one letter is left
	w.settled(t, parked.Sequence)
	for sequence := range uint64(2) {
		if err := stream.DeleteMsg(t.Context(), sequence+3); err != nil {
			t.Fatal(err)
		}
	}
	place(t, w.js, "o-1", 6)
	inOrder(t, got, 6, 6)
}

// The letters of a parked key, redriven in the order of the stream, are handled in
// that order, and the key goes on after the last.
func TestParkedKeyIsRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name, filter := bus.RedriveConsumer(group.Name)
	if _, err := w.js.CreateConsumer(t.Context(), bus.DeadLetterStream, jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 1000, FilterSubject: filter,
	}); err != nil {
		t.Fatal(err)
	}
	g := group
	g.Order, g.Redrive = bus.Park, true
	mended := make(chan struct{})
	got := make(chan int, 100)
	startGroup(t, w.js, g, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		select {
		case <-mended:
		default:
			return bus.Drop(errFlaky)
		}
		got <- e.Data.N
		return nil
	}))
	for n := range 5 {
		place(t, w.js, "o-1", n)
	}
	letters := w.letters(t, 5)
	w.settled(t, 5)
	close(mended)
	box := bus.NewLetterbox(w.js)
	for _, l := range letters {
		if err := box.Redrive(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
	}
	inOrder(t, got, 0, 4)
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs > 0 {
			return "letters are left"
		}
		return ""
	})
	place(t, w.js, "o-1", 5)
	inOrder(t, got, 5, 5)
}

// However many events wait, no more begin than the rate and the burst allow.
func TestRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.Rate, g.Burst = 50, 5
	got := make(chan time.Time, 100)
	for n := range 30 {
		place(t, w.js, "o-"+strconv.Itoa(n), n)
	}
	before := time.Now()
	startGroup(t, w.js, g, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error {
		got <- time.Now()
		return nil
	}))
	if took := slices.MaxFunc(receive(t, got, 30), time.Time.Compare).Sub(before); took < 25*time.Second/50 {
		t.Errorf("30 attempts began within %s", took)
	}
	w.settled(t, 30)
}

// An attempt that takes too long is ended and made again.
func TestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.Timeout = 20 * time.Millisecond
	startGroup(t, w.js, g, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		if e.Data.N == 0 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}))
	place(t, w.js, "o-1", 1)
	place(t, w.js, "o-1", 0)
	if l := w.letters(t, 1)[0]; l.Reason != bus.ReasonAttempts || l.Attempts != g.MaxAttempts || !strings.Contains(l.Error, "longer than the group allows") {
		t.Errorf("letter %+v", l)
	}
	w.settled(t, 2)
}

// Two messages of one key run at the same time where order does not matter.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.Order = bus.Any
	both := make(chan struct{})
	begun := make(chan struct{}, 2)
	startGroup(t, w.js, g, bus.Config{}, bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		begun <- struct{}{}
		select {
		case <-both:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	place(t, w.js, "o-1", 1)
	place(t, w.js, "o-1", 2)
	receive(t, begun, 2)
	close(both)
	w.settled(t, 2)
}

func TestAnyOrderIsNotPinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"active"}, time.Second
	})
	g := group
	g.Order = bus.Any
	h := bus.On(func(context.Context, event.Of[placed]) error { return errors.New("never runs") })
	if err := bus.Consume(w.js, g, bus.Config{}, h).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "pinned to one client") {
		t.Errorf("Start: %v", err)
	}
}
