package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// weighed is what counters count in a later release: units that weigh something.
type weighed struct {
	Units  int `json:"units"`
	Weight int `json:"weight"`
}

func (weighed) EventType() string { return "counter.counted" }

var (
	later = event.NewRegistry("counter", event.Define[opened](1),
		event.Define[weighed](2, event.From(1, func(c counted) weighed {
			if c.By > 10 {
				panic("nobody counts that far")
			}
			return weighed{Units: c.By, Weight: 7 * c.By}
		})))
	repaired = event.NewRegistry("counter", event.Define[opened](1),
		event.Define[weighed](2, event.From(1, func(c counted) weighed { return weighed{Units: c.By, Weight: 7 * c.By} })))
)

// weigh is what the later release folds: the weight.
func weigh(c counter, _ event.Event, data event.Data) counter {
	switch d := data.(type) {
	case opened:
		c.Limit = d.Limit
	case weighed:
		c.Count += d.Weight
	}
	return c
}

func countAtOnce(n int) func(counter) ([]event.Data, error) {
	return func(counter) ([]event.Data, error) { return []event.Data{counted{By: n}}, nil }
}

// A release whose events have changed goes on with the history of the one before it.
func TestALaterReleaseGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(10))
	w.do(t, "a", countAtOnce(2))
	store := eventstore.New(w.js, counters, later)
	result, err := aggregate.New(store, weigh).Do(t.Context(), aggregate.Command[counter]{
		ID: "a", Decide: func(counter) ([]event.Data, error) { return []event.Data{weighed{Units: 1, Weight: 5}}, nil },
	})
	if err != nil || result.State.Count != 19 || result.Version != 3 {
		t.Errorf("%+v, %v", result, err)
	}
	events, _, err := store.Load(t.Context(), "a")
	if err != nil || events[1].DataSchema != "sluice:/schemas/counter.counted/v1" || events[2].DataSchema != "sluice:/schemas/counter.counted/v2" {
		t.Errorf("history is %+v, %v", events, err)
	}
	// The older release does not guess.
	if _, err := aggregate.New(w.store, apply).Get(t.Context(), "a"); !errors.Is(err, event.ErrNewerVersion) {
		t.Errorf("the older release: %v", err)
	}
}

// An event that a release cannot bring up to date is retried, becomes a dead letter
// and stays in the history, so that the next release reads it.
func TestNothingIsLostToABadUpcaster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(100))
	w.do(t, "a", countAtOnce(2))
	bad := w.do(t, "a", countAtOnce(11)).Position
	w.do(t, "a", countAtOnce(3))

	store := eventstore.New(w.js, counters, later)
	react := bus.Group{Stream: counters.Name, Name: "counter-scales", MaxAttempts: 2, MinBackoff: 1}
	handled := make(chan weighed, 10)
	w.consumeWith(t, react, "counter.counted.*", bus.Config{Read: store.Reader().Read}, bus.On(func(_ context.Context, e event.Of[weighed]) error {
		handled <- e.Data
		return nil
	}))
	guard := bus.Group{Stream: counters.Name, Name: "counter-guard"}
	w.consume(t, guard, counters.History(), nil, aggregate.Guard(store, guard, slog.New(slog.DiscardHandler)))
	w.settled(t, react)
	w.settled(t, guard)

	if got := fmt.Sprint(<-handled, <-handled, len(handled)); got != "{2 14} {3 21} 0" {
		t.Errorf("handled %s", got)
	}
	letters := w.letters(t)
	if len(letters) != 1 || letters[0].Consumer != react.Name || letters[0].Sequence != bad || letters[0].Attempts != 2 {
		t.Errorf("dead letters are %+v", letters)
	}
	if _, err := aggregate.New(store, weigh).Get(t.Context(), "a"); !errors.Is(err, event.ErrUpcast) {
		t.Errorf("the release with the bad upcaster: %v", err)
	}
	fixed, err := aggregate.New(eventstore.New(w.js, counters, repaired), weigh).Get(t.Context(), "a")
	if err != nil || fixed.State.Count != 7*16 {
		t.Errorf("the next release: %+v, %v", fixed, err)
	}
}

// Outsiders may go on with the version they know.
func TestIntakeOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := aggregate.New(eventstore.New(w.js, counters, later), weigh)
	group := bus.Group{Stream: "COUNTERS_INTAKE", Name: "counter-intake"}
	taken := make(chan weighed, 1)
	w.consume(t, group, "counter.*", aggregate.IntakeKey, aggregate.Intake(later, aggregate.Take(func(ctx context.Context, e event.Of[weighed]) error {
		_, err := all.Do(ctx, aggregate.Command[counter]{
			ID: e.Subject, Origin: &e.Event, Decide: func(counter) ([]event.Data, error) { return []event.Data{e.Data}, nil },
		})
		taken <- e.Data
		return err
	})))
	w.publish(t, "counter.counted", nil, `{"specversion":"1.0","id":"1","source":"/cli","type":"counter.counted","subject":"`+counterID+
		`","dataschema":"sluice:/schemas/counter.counted/v1","data":{"by":2}}`)
	w.settled(t, group)
	if got := <-taken; got != (weighed{Units: 2, Weight: 14}) {
		t.Errorf("taken in as %+v", got)
	}
	if got, err := all.Get(t.Context(), counterID); err != nil || got.State.Count != 14 {
		t.Errorf("%+v, %v", got, err)
	}
}
