package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// redrivable is group with the consumer that brings its letters back.
func (w *world) redrivable(t *testing.T, name string) bus.Group {
	t.Helper()
	g := group
	g.Name, g.Redrive = name, true
	consumer, filter := bus.RedriveConsumer(name)
	if _, err := w.js.CreateConsumer(t.Context(), bus.DeadLetterStream, jetstream.ConsumerConfig{
		Durable: consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 1000, FilterSubject: filter,
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

func startGroup(t *testing.T, js jetstream.JetStream, g bus.Group, cfg bus.Config, handlers ...bus.Handler) *bus.Consumer {
	t.Helper()
	c := bus.Consume(js, g, cfg, handlers...)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

// waiting returns the letters that box has, once there are n of them.
func waiting(t *testing.T, box *bus.Letterbox, n int) []bus.DeadLetter {
	t.Helper()
	var letters []bus.DeadLetter
	eventually(t, func() string {
		letters = listed(t, box, bus.LetterFilter{})
		if len(letters) != n {
			return fmt.Sprintf("%d letters, want %d", len(letters), n)
		}
		return ""
	})
	return letters
}

func listed(t *testing.T, box *bus.Letterbox, f bus.LetterFilter) []bus.DeadLetter {
	t.Helper()
	var letters []bus.DeadLetter
	for l, err := range box.List(t.Context(), f, 0) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, l)
	}
	return letters
}

// empty waits until nothing lies in the stream of dead letters: no letter, and nothing
// that redrives one.
func (w *world) empty(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
		if err != nil {
			return err.Error()
		}
		if n := stream.CachedInfo().State.Msgs; n != 0 {
			return fmt.Sprintf("%d messages are left", n)
		}
		return ""
	})
}

func redrive(t *testing.T, box *bus.Letterbox, id string) {
	t.Helper()
	if err := box.Redrive(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// poisoned are handlers that give up on every event until they are cured.
type poisoned struct {
	cured   atomic.Bool
	handled chan event.Of[placed]
}

func newPoisoned() *poisoned { return &poisoned{handled: make(chan event.Of[placed], 100)} }

func (p *poisoned) handle(_ context.Context, e event.Of[placed]) error {
	if !p.cured.Load() {
		return bus.Drop(fmt.Errorf("no good: %w", errFlaky))
	}
	p.handled <- e
	return nil
}

// A redriven event is handled as if it came from its stream, and then nothing is left
// of its letter.
func TestRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box, p := bus.NewLetterbox(w.js), newPoisoned()
	var stored atomic.Pointer[bus.Message]
	startGroup(t, w.js, w.redrivable(t, "mailer"), bus.Config{Read: func(_ context.Context, msg jetstream.Msg) (event.Event, bool, error) {
		e, err := event.Decode(msg.Headers(), msg.Data())
		if err != nil {
			return e, false, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return e, false, err
		}
		e.Stream, e.Sequence = meta.Stream, meta.Sequence.Stream
		m := bus.Message{Subject: msg.Subject(), Stream: meta.Stream, Sequence: meta.Sequence.Stream, Time: meta.Timestamp.UTC()}
		if before := stored.Swap(&m); before != nil && (before.Subject != m.Subject || !before.Time.Equal(m.Time)) {
			t.Errorf("read %+v, and before %+v", m, *before)
		}
		return e, true, nil
	}}, bus.On(p.handle))
	sent := place(t, w.js, "o-1", 7)
	letter := waiting(t, box, 1)[0]
	p.cured.Store(true)
	redrive(t, box, letter.ID)
	got := receive(t, p.handled, 1)[0]
	if got.ID != sent.ID || got.Data.N != 7 || got.Stream != "ORDERS" || got.Sequence != sent.Sequence || got.CorrelationID != sent.CorrelationID {
		t.Errorf("handled %+v, sent %+v", got, sent)
	}
	w.empty(t)
	if err := box.Redrive(t.Context(), letter.ID); !errors.Is(err, bus.ErrNoLetter) {
		t.Errorf("redriven again: %v", err)
	}
}

// A redriven event that fails again keeps its id and its history.
func TestRedrivenInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box, p := bus.NewLetterbox(w.js), newPoisoned()
	startGroup(t, w.js, w.redrivable(t, "mailer"), bus.Config{}, bus.On(p.handle))
	place(t, w.js, "o-1", 7)
	first := waiting(t, box, 1)[0]
	last := first
	const times = 12
	for n := 1; n <= times; n++ {
		redrive(t, box, last.ID)
		var now bus.DeadLetter
		eventually(t, func() string {
			letters := listed(t, box, bus.LetterFilter{})
			if len(letters) != 1 || letters[0].Redrives != n {
				return fmt.Sprintf("%d letters after redrive %d: %+v", len(letters), n, letters)
			}
			now = letters[0]
			return ""
		})
		if now.ID != first.ID || now.Attempts != n+1 || !now.FirstAt.Equal(first.FirstAt) || !now.LastAt.After(last.LastAt) ||
			now.Reason != bus.ReasonDropped || now.Error != first.Error || len(now.Earlier) != min(n, 10) {
			t.Fatalf("after redrive %d the letter is %+v", n, now)
		}
		if e := now.Earlier[len(now.Earlier)-1]; !e.At.Equal(last.LastAt) || e.Reason != last.Reason || e.Error != last.Error || e.Attempts != last.Attempts {
			t.Fatalf("after redrive %d it remembers %+v, it was %+v", n, e, last)
		}
		if now.Subject != first.Subject || !bytes.Equal(now.Data, first.Data) || len(now.Header) != len(first.Header) {
			t.Fatalf("after redrive %d the message is %+v", n, now)
		}
		last = now
	}
	p.cured.Store(true)
	redrive(t, box, first.ID)
	receive(t, p.handled, 1)
	w.empty(t)
}

// However often a letter is redriven while nobody is there to handle it, its message is
// handled.
func TestRedrivenTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, box, p := w.redrivable(t, "mailer"), bus.NewLetterbox(w.js), newPoisoned()
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(p.handle))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 7)
	letter := waiting(t, box, 1)[0]
	stop(t, c)
	p.cured.Store(true)
	redrive(t, box, letter.ID)
	redrive(t, bus.NewLetterbox(w.js), letter.ID)
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d messages, want the letter and one that redrives it", n)
	}
	// What redrives it is deleted by hand, and it is redriven once more.
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("deadletter.redrive.>")); err != nil {
		t.Fatal(err)
	}
	redrive(t, box, letter.ID)
	startGroup(t, w.js, g, bus.Config{}, bus.On(p.handle))
	receive(t, p.handled, 1)
	w.empty(t)
}

// Two groups give up on one event; redriving the letter of one leaves the other alone.
func TestRedriveIsForOneGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.js.CreateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{
		Durable: "packer", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 1000, FilterSubject: "order.placed.*",
	}); err != nil {
		t.Fatal(err)
	}
	box, mailer, packer := bus.NewLetterbox(w.js), newPoisoned(), newPoisoned()
	startGroup(t, w.js, w.redrivable(t, "mailer"), bus.Config{}, bus.On(mailer.handle))
	startGroup(t, w.js, w.redrivable(t, "packer"), bus.Config{}, bus.On(packer.handle))
	place(t, w.js, "o-1", 7)
	waiting(t, box, 2)
	mailer.cured.Store(true)
	packer.cured.Store(true)
	letter := listed(t, box, bus.LetterFilter{Consumer: "packer"})[0]
	redrive(t, box, letter.ID)
	receive(t, packer.handled, 1)
	if left := waiting(t, box, 1)[0]; left.Consumer != "mailer" || left.Redrives != 0 || len(mailer.handled) != 0 {
		t.Errorf("left is %+v, and mailer handled %d", left, len(mailer.handled))
	}
}

func TestRedriveNeedsItsConsumer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.Redrive = true
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(newPoisoned().handle))
	if err := c.Start(t.Context()); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("started: %v", err)
	}
	if err := c.Health(); err == nil {
		t.Error("it runs")
	}
}

// Of several instances one has the redriven letters, and another takes over what it
// leaves.
func TestRedrivenByAnotherInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, box := group, bus.NewLetterbox(w.js)
	g.Redrive = true
	consumer, filter := bus.RedriveConsumer(g.Name)
	if _, err := w.js.CreateConsumer(t.Context(), bus.DeadLetterStream, jetstream.ConsumerConfig{
		Durable: consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 1000, FilterSubject: filter,
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"active"}, PinnedTTL: ackWait,
	}); err != nil {
		t.Fatal(err)
	}
	const n = 20
	for i := 1; i <= n; i++ {
		publishLetter(t, w, letterFor(t, i))
	}
	handled := make(chan int, 10*n)
	held := make(chan struct{})
	first := bus.Consume(w.js, g, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		handled <- e.Data.N
		select {
		case <-held:
		case <-ctx.Done():
		}
		return ctx.Err()
	}))
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := box.RedriveAll(t.Context(), bus.LetterFilter{}, "", n); err != nil || done.Letters != n {
		t.Fatalf("%+v, %v", done, err)
	}
	receive(t, handled, 1)
	startGroup(t, w.js, g, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		handled <- e.Data.N
		return nil
	}))
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Stop(soon); err != nil {
		t.Error(err)
	}
	missing := make(map[int]bool, n)
	for i := 1; i <= n; i++ {
		missing[i] = true
	}
	for len(missing) > 0 {
		delete(missing, receive(t, handled, 1)[0])
	}
	w.empty(t)
}

// letterFor is the letter of an event that was never stored.
func letterFor(t *testing.T, n int) bus.DeadLetter {
	t.Helper()
	e, err := events.New(t.Context(), fmt.Sprintf("o-%d", n), placed{N: n})
	if err != nil {
		t.Fatal(err)
	}
	d := letterOf(n, group.Name, bus.ReasonAttempts, e.HistorySubject())
	d.Header, d.Data = event.Encode(e)
	return d
}
