package aggregate_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

func TestDecideAndAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.all.Get(t.Context(), "a"); !errors.Is(err, aggregate.ErrNotFound) || endpoint.CodeOf(err) != endpoint.CodeNotFound {
		t.Errorf("an unknown counter: %v", err)
	}
	if _, err := w.all.History(t.Context(), "a"); !errors.Is(err, aggregate.ErrNotFound) {
		t.Errorf("history of an unknown counter: %v", err)
	}
	first := w.do(t, "a", open(9))
	if first.State.Limit != 9 || first.Version != 1 || len(first.Events) != 1 || first.Position != first.Events[0].Sequence || first.Repeated {
		t.Errorf("opened: %+v", first)
	}
	second := w.do(t, "a", count(3))
	if second.State.Count != 3 || second.Version != 4 || len(second.Events) != 3 || second.Position != first.Position+3 {
		t.Errorf("counted: %+v", second)
	}
	w.wantCount(t, "a", 3, 4)
	events, err := w.all.History(t.Context(), "a")
	if err != nil || len(events) != 4 || events[0].Type != "counter.opened" || events[3].Version != 4 {
		t.Errorf("history is %+v, %v", events, err)
	}

	// A refusal, and a decision for nothing, append nothing.
	if _, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(7)}); !errors.Is(err, errFull) {
		t.Errorf("too much: %v", err)
	}
	nothing := w.do(t, "a", func(counter) ([]event.Data, error) { return nil, nil })
	if nothing.State.Count != 3 || nothing.Version != 4 || len(nothing.Events) > 0 {
		t.Errorf("nothing: %+v", nothing)
	}
	w.wantCount(t, "a", 3, 4)
}

// TestContenders: many writers on one counter lose nothing and count nothing twice.
func TestContenders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const writers, each = 6, 10
	w.do(t, "a", open(writers*each))
	var wg sync.WaitGroup
	for range writers {
		all := aggregate.New(eventstore.New(w.JetStream(t), counters, types), apply)
		wg.Go(func() {
			for done := 0; done < each; {
				_, err := all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1)})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, eventstore.ErrConflict) || endpoint.CodeOf(err) != endpoint.CodeConflict:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	w.wantCount(t, "a", writers*each, writers*each+1)
	if _, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1)}); !errors.Is(err, errFull) {
		t.Errorf("one more: %v", err)
	}
}

// TestRefusalsAreRight: whoever is refused finds, when it asks again, that the
// counter is full, and nobody is refused before it is.
func TestRefusalsAreRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const writers, limit = 6, 20
	w.do(t, "a", open(limit))
	var (
		wg      sync.WaitGroup
		counted atomic.Int64
	)
	for range writers {
		wg.Go(func() {
			for {
				_, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1)})
				switch {
				case err == nil:
					counted.Add(1)
				case errors.Is(err, errFull):
					if now, err := w.all.Get(t.Context(), "a"); err != nil || now.State.Count != limit {
						t.Errorf("refused at %+v, %v", now, err)
					}
					return
				case !errors.Is(err, eventstore.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if counted.Load() != limit {
		t.Errorf("%d were counted, the limit is %d", counted.Load(), limit)
	}
	w.wantCount(t, "a", limit, limit+1)
}

// TestADecisionIsMadeAgainOnWhatHappened moves the counter between a load and its
// append, and between a load and its refusal.
func TestADecisionIsMadeAgainOnWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(3))
	var seen []int
	result := w.do(t, "a", func(c counter) ([]event.Data, error) {
		seen = append(seen, c.Count)
		if len(seen) == 1 {
			w.do(t, "a", count(2))
		}
		return count(1)(c)
	})
	if !slices.Equal(seen, []int{0, 2}) || result.State.Count != 3 || result.Version != 4 {
		t.Errorf("decided at %v: %+v", seen, result)
	}

	seen = nil
	result = w.do(t, "b", func(c counter) ([]event.Data, error) { // not open yet, when it looks first
		seen = append(seen, c.Limit)
		if len(seen) == 1 {
			w.do(t, "b", open(3))
		}
		return count(1)(c)
	})
	if !slices.Equal(seen, []int{0, 3}) || result.State.Count != 1 {
		t.Errorf("decided at limits %v: %+v", seen, result)
	}
}

func TestItGivesUpOnAContendedAggregate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(1000))
	_, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: func(c counter) ([]event.Data, error) {
		w.do(t, "a", count(1))
		return count(1)(c)
	}})
	if !errors.Is(err, eventstore.ErrConflict) || endpoint.CodeOf(err) != endpoint.CodeConflict {
		t.Errorf("always too late: %v", err)
	}
}

func TestClaimsComeWithTheEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claim := eventstore.Claim{Name: "label", Hash: "h1"}
	result, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: open(1), Claims: []eventstore.Claim{claim}})
	if err != nil || result.Position != result.Events[0].Sequence {
		t.Fatalf("%+v, %v", result, err)
	}
	if holder, held, err := w.store.Holder(t.Context(), claim); holder != "a" || !held || err != nil {
		t.Errorf("the claim is held by %q, %v, %v", holder, held, err)
	}
	_, err = w.all.Do(t.Context(), aggregate.Command[counter]{ID: "b", Decide: open(1), Claims: []eventstore.Claim{claim}})
	var coded *endpoint.Error
	if !errors.As(err, &coded) || coded.Code != endpoint.CodeConflict || len(coded.Fields) != 1 || coded.Fields[0].Field != "label" || !errors.Is(err, eventstore.ErrTaken) {
		t.Errorf("the claim of another: %v", err)
	}
	if _, err := w.all.Get(t.Context(), "b"); !errors.Is(err, aggregate.ErrNotFound) {
		t.Errorf("the refused counter: %v", err)
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		id     string
		decide func(counter) ([]event.Data, error)
		code   endpoint.Code
		is     error
	}{
		{"malformed id", "a.b", open(1), endpoint.CodeInvalid, event.ErrInvalid},
		{"coded refusal", "c", func(counter) ([]event.Data, error) { return nil, errFull }, endpoint.CodeConflict, errFull},
		{"plain refusal", "c", count(1), endpoint.CodeInternal, errClosed},
		{"data against its own rules", "c", func(counter) ([]event.Data, error) { return []event.Data{counted{}}, nil }, endpoint.CodeInternal, event.ErrData},
		{"too many events", "c", func(counter) ([]event.Data, error) {
			data := make([]event.Data, 1001)
			for i := range data {
				data[i] = counted{By: 1}
			}
			return data, nil
		}, endpoint.CodeInvalid, eventstore.ErrTooLarge},
	} {
		_, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: c.id, Decide: c.decide})
		if endpoint.CodeOf(err) != c.code || !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := w.all.Get(t.Context(), "c"); !errors.Is(err, aggregate.ErrNotFound) {
		t.Errorf("something was appended: %v", err)
	}
}
