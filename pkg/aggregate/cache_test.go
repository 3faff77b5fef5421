package aggregate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// reads counts the requests for messages that reach the server from now on.
func (w *world) reads(t *testing.T) func() int {
	t.Helper()
	nc := w.Connect(t)
	sub, err := nc.SubscribeSync("$JS.API.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() int {
		t.Helper()
		if err := w.js.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		n, _, err := sub.Pending()
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if _, err := sub.NextMsg(time.Second); err != nil && !errors.Is(err, nats.ErrTimeout) {
				t.Fatal(err)
			}
		}
		return n
	}
}

func TestHotAggregateIsAppendedToWithoutReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(100))
	reads := w.reads(t)
	for range 10 {
		w.do(t, "a", count(1))
	}
	if n := reads(); n != 0 {
		t.Errorf("ten commands on an aggregate in memory read %d times", n)
	}
	w.wantCount(t, "a", 10, 11)
}

// Two replicas know the same counter. What one does, the other finds out when its
// append is refused, or before it refuses by itself.
func TestRefusalOnOldStateIsConfirmedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := aggregate.New(eventstore.New(w.JetStream(t), counters, types), apply)
	do := func(a *aggregate.Aggregates[counter], decide func(counter) ([]event.Data, error)) error {
		_, err := a.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: decide})
		return err
	}
	w.do(t, "a", open(1))
	if err := do(other, count(1)); err != nil {
		t.Fatal(err)
	}
	// w.all still has 0 of 1 in memory: it would count, is overtaken, and then refuses.
	if err := do(w.all, count(1)); !errors.Is(err, errFull) {
		t.Errorf("counting over the limit: %v", err)
	}
	reset := func(counter) ([]event.Data, error) { return []event.Data{opened{Limit: 5}}, nil }
	if err := do(other, reset); err != nil {
		t.Fatal(err)
	}
	// In w.all's memory the counter is full, in the stream it is not any more.
	if err := do(w.all, count(1)); err != nil {
		t.Errorf("a refusal on old state was not confirmed: %v", err)
	}
	w.wantCount(t, "a", 2, 4)
}

// A history that was replaced behind the back of the cache is read anew.
func TestReplacedHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(100))
	for range 5 {
		w.do(t, "a", count(1))
	}
	stream, err := w.js.Stream(t.Context(), counters.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.do(t, "a", open(7))
	w.wantCount(t, "a", 0, 1)
}

func TestPast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(100))
	w.do(t, "a", count(3))
	between := time.Now()
	w.do(t, "a", count(4))
	for version, want := range map[uint64]int{1: 0, 2: 1, 4: 3, 8: 7} {
		got, err := w.all.GetVersion(t.Context(), "a", version)
		if err != nil || got.State.Count != want || got.Version != version {
			t.Errorf("at version %d: %+v, %v", version, got, err)
		}
	}
	got, err := w.all.GetAt(t.Context(), "a", between)
	if err != nil || got.State.Count != 3 || got.Version != 4 {
		t.Errorf("at that time: %+v, %v", got, err)
	}
	for _, err := range []error{
		second(w.all.GetVersion(t.Context(), "a", 9)),
		second(w.all.GetVersion(t.Context(), "nobody", 1)),
		second(w.all.GetAt(t.Context(), "a", between.Add(-time.Hour))),
	} {
		if !errors.Is(err, aggregate.ErrNotFound) {
			t.Errorf("a past that was not: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRepeatOfAnOldCommandGetsTheStateOfThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(100))
	keyed := event.WithMetadata(t.Context(), event.Metadata{CausationID: "command-1", Keyed: true})
	command := aggregate.Command[counter]{ID: "a", Decide: count(2)}
	first, err := w.all.Do(keyed, command)
	if err != nil {
		t.Fatal(err)
	}
	w.do(t, "a", count(5))
	for name, all := range map[string]*aggregate.Aggregates[counter]{"in memory": w.all, "loaded": aggregate.New(w.store, apply)} {
		again, err := all.Do(context.WithoutCancel(keyed), command)
		if err != nil || !again.Repeated || again.State != first.State || again.Version != 3 || again.Position != first.Position {
			t.Errorf("%s: the repeat is answered with %+v, %v; first %+v", name, again, err, first)
		}
	}
	w.wantCount(t, "a", 7, 8)
}

func TestCreatingReadsNothingUnlessItExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reads := w.reads(t)
	create := aggregate.Command[counter]{ID: "a", Create: true, Decide: open(3)}
	if _, err := w.all.Do(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	if n := reads(); n != 0 {
		t.Errorf("creating read %d times", n)
	}
	for name, all := range map[string]*aggregate.Aggregates[counter]{"in memory": w.all, "elsewhere": aggregate.New(w.store, apply)} {
		if _, err := all.Do(t.Context(), create); !errors.Is(err, errOpen) {
			t.Errorf("%s: creating what exists: %v", name, err)
		}
	}
	keyed := event.WithMetadata(t.Context(), event.Metadata{CausationID: "command-1", Keyed: true})
	create.ID = "b"
	for _, repeated := range []bool{false, true} {
		got, err := aggregate.New(w.store, apply).Do(keyed, create)
		if err != nil || got.Repeated != repeated || got.Version != 1 {
			t.Errorf("creating with a key: %+v, %v", got, err)
		}
	}
}
