package projection_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

type rememberer struct {
	model  *projection.Memory[value]
	runner *projection.Runner
}

func remember(t tb, w *world, f func(*projection.Tx[value], event.Event, event.Data) error, cfg projection.Config) rememberer {
	t.Helper()
	m := projection.InMemory("things", f)
	r := rememberer{model: m, runner: m.Follow(eventstore.New(w.js, things, registry), cfg)}
	if err := r.runner.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	return r
}

func (r rememberer) stop(t tb) {
	t.Helper()
	follower{runner: r.runner}.stop(t)
}

// compareMemory holds that the model is what the fold in a map says, indexes too.
func (w *world) compareMemory(t tb, m *projection.Memory[value]) {
	t.Helper()
	values := 0
	byOwner := make(map[string]map[string]bool)
	for key, text := range w.memory {
		if len(key) > 8 && key[:8] == "by-owner" {
			owner := w.memory.value(text).Owner
			if byOwner[owner] == nil {
				byOwner[owner] = make(map[string]bool)
			}
			byOwner[owner][text] = true
			continue
		}
		values++
		if got, ok := m.Get(key); !ok || got != w.memory.value(key) {
			t.Fatalf("key %s is %+v, %t, want %+v", key, got, ok, w.memory.value(key))
		}
	}
	if m.Len() != values {
		t.Fatalf("%d values, want %d", m.Len(), values)
	}
	for owner, want := range byOwner {
		seen, cursor := 0, ""
		for {
			items, next, err := m.List("by-owner."+owner, cursor, 2)
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			for _, item := range items {
				if !want[item.ID] {
					t.Fatalf("%s lists %s", owner, item.ID)
				}
				seen++
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if seen != len(want) {
			t.Fatalf("%s lists %d, want %d", owner, seen, len(want))
		}
	}
}

// What is in memory is the fold of the history, whenever it was started.
func TestMemoryEqualsFold(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	rapid.Check(t, func(r *rapid.T) {
		w.wipe(r)
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		owners := rapid.SampledFrom([]string{"x", "y"})
		write := func(n int) {
			for range n {
				id := ids.Draw(r, "id")
				switch rapid.IntRange(0, 3).Draw(r, "event") {
				case 0, 1:
					w.write(r, id, added{owners.Draw(r, "owner"), 1})
				case 2:
					w.write(r, id, moved{owners.Draw(r, "owner")})
				default:
					w.write(r, id, removed{})
				}
			}
		}
		write(rapid.IntRange(1, 20).Draw(r, "before"))
		m := remember(r, w, fold, quick())
		defer m.stop(r)
		w.compareMemory(r, m.model) // Start has waited
		write(rapid.IntRange(1, 20).Draw(r, "after"))
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		if err := m.model.Wait(ctx, w.last); err != nil {
			r.Fatalf("wait: %v", err)
		}
		w.compareMemory(r, m.model)
	})
}

// Readers never see half of an event, and a lost connection costs no event.
func TestMemoryIsReadWhileItIsFolded(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	js := srv.JetStream(t)
	w.write(t, "a", spread{Keys: 2, Amount: 1})
	m := projection.InMemory("things", fold)
	runner := m.Follow(eventstore.New(js, things, registry), quick())
	if err := runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 4 {
		reading.Go(func() {
			for ctx.Err() == nil {
				first, _ := m.Get("a-1")
				second, _ := m.Get("a-0") // read later, so never older
				if second.Folds < first.Folds {
					t.Errorf("a-0 was folded %d times, a-1 %d", second.Folds, first.Folds)
				}
			}
		})
	}
	for i := range 60 {
		w.write(t, "a", spread{Keys: 2, Amount: 1})
		if i == 30 {
			srv.Restart(t)
			awaitConnection(t, w.js)
		}
	}
	wait, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	if err := m.Wait(wait, w.last); err != nil {
		t.Fatal(err)
	}
	cancel()
	reading.Wait()
	if v, ok := m.Get("a-0"); !ok || v.Folds != 61 {
		t.Errorf("%+v, %t, want 61 folds", v, ok)
	}
	follower{runner: runner}.stop(t)
}

// Poison parks or is skipped here as elsewhere, and the index keeps its order.
func TestMemoryPoison(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	bad := func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		if _, ok := data.(moved); ok {
			tx.Delete(e.Subject)
			return errFold
		}
		return fold(tx, e, data)
	}
	w.write(t, "a", added{"x", 1})
	sequence := w.write(t, "a", moved{"y"})
	last := w.write(t, "a", added{"x", 1})
	m := remember(t, w, bad, quick())
	defer m.stop(t)
	var parked *projection.ParkedError
	if err := m.model.Wait(t.Context(), last); !errors.As(err, &parked) || parked.Sequence != sequence {
		t.Errorf("Wait: %v, want parked at %d", err, sequence)
	}
	cfg := quick()
	cfg.Poison = projection.Skip
	s := remember(t, w, bad, cfg)
	defer s.stop(t)
	if v, ok := s.model.Get("a"); !ok || v.Folds != 2 {
		t.Errorf("%+v, %t, want 2 folds", v, ok)
	}
}

// A long index keeps its order while it grows and shrinks.
func TestMemoryListsALongIndex(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	m := remember(t, w, fold, quick())
	defer m.stop(t)
	const keys = 5000
	for folds := 1; folds <= 3; folds++ { // every other fold takes the index back
		sequence := w.write(t, "a", spread{Keys: keys, Amount: 1})
		if err := m.model.Wait(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
		seen, last, cursor := 0, "", ""
		for {
			items, next, err := m.model.List("by-owner.a", cursor, 999)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range items {
				if last != "" && item.ID >= last {
					t.Fatalf("%s comes after %s", item.ID, last)
				}
				seen, last = seen+1, item.ID
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if want := keys * (folds % 2); seen != want {
			t.Errorf("after %d folds %d are listed, want %d", folds, seen, want)
		}
	}
}
