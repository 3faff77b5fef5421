package aggregate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// A reaction opens a counter for each that is opened by hand. However often its event
// is handled, by whichever process, it appends once: the ids of what it creates and of
// its command derive from the event.
func TestRedeliveredReactionAppendsNothingNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	group := bus.Group{Stream: counters.Name, Name: "counter-twins", MinBackoff: time.Millisecond}
	ids := make(chan string, 10)
	react := func(all *aggregate.Aggregates[counter], outcome error) bus.Handler {
		return bus.On(func(ctx context.Context, e event.Of[opened]) error {
			if e.Subject != "original" {
				return nil
			}
			id := event.MetadataFrom(ctx).NewID("counter")
			if _, err := all.Do(ctx, aggregate.Command[counter]{ID: id, Decide: func(c counter) ([]event.Data, error) {
				if c.Limit > 0 {
					return nil, errOpen
				}
				return []event.Data{opened{Limit: 1}, counted{By: 1}}, nil
			}}); err != nil {
				return err
			}
			ids <- id
			if n, _ := bus.Attempt(ctx); n == 1 {
				return outcome // although it is appended
			}
			return nil
		})
	}
	w.do(t, "original", open(3))
	w.consume(t, group, "counter.opened.*", nil, react(w.all, errors.New("failed after all")))
	first, second := <-ids, <-ids
	w.settled(t, group)
	// Another process, which remembers nothing, gets it once more.
	again := group
	again.Name = "counter-twins-again"
	w.consume(t, again, "counter.opened.*", nil, react(aggregate.New(w.store, apply), nil))
	if third := <-ids; first != second || second != third {
		t.Errorf("the reaction created %s, %s and %s", first, second, third)
	}
	w.settled(t, again)
	stream, err := w.js.Stream(t.Context(), counters.Name)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("the history has %d events, want 3", n)
	}
	if len(w.letters(t)) != 0 {
		t.Error("a reaction that repeats itself became a dead letter")
	}
}
