package eventstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

func TestAppendAndLoad(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	var tail eventstore.Tail
	want := ""
	for i := range 40 { // single events and batches mixed, longer than one link list
		mustAppend(t, s, "other", wantAny(t, s, "other"), made{Name: "x"})
		var data []event.Data
		for j := range i%4 + 1 {
			name := fmt.Sprintf("n%d.%d", i, j)
			want = strings.TrimSpace(want + " " + name)
			data = append(data, named{Name: name})
		}
		tail = mustAppend(t, s, "a", tail, data...)
	}
	loaded := wantHistory(t, s, "a", want)
	if fmt.Sprint(loaded) != fmt.Sprint(tail) {
		t.Errorf("tail is %v after the append and %v after a load", tail, loaded)
	}
	events, _, err := s.LoadAfter(t.Context(), "a", tailOf(t, s, "a", 95))
	if err != nil || len(events) != 5 || events[0].Version != 96 {
		t.Errorf("LoadAfter(95) gives %d events, %v", len(events), err)
	}
	if events, tail, err := s.Load(t.Context(), "nobody"); err != nil || len(events) != 0 || tail.Last != 0 {
		t.Errorf("an unknown aggregate gives %v %v %v", events, tail, err)
	}
}

func TestConflictCarriesWhatHappened(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	first := mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "one"})
	mustAppend(t, s, "a", first, named{Name: "two"}, named{Name: "three"})
	for _, data := range [][]event.Data{{named{Name: "late"}}, {named{Name: "late"}, named{Name: "later"}}} {
		_, err := s.Append(t.Context(), "a", first, build(t, "a", data...))
		var conflict *eventstore.ConflictError
		if !errors.As(err, &conflict) || !errors.Is(err, eventstore.ErrConflict) {
			t.Fatalf("error is %v, want a conflict", err)
		}
		if got := names(conflict.Events); got != "two three" || conflict.Tail.Version != 3 {
			t.Errorf("conflict carries %q at version %d", got, conflict.Tail.Version)
		}
		if _, err := s.Append(t.Context(), "b", first, build(t, "b", data...)); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("append to a missing aggregate at a version: %v", err)
		}
	}
	wantHistory(t, s, "a", "one two three")
}

func TestWritersRace(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	const writers, each = 6, 6
	var wg sync.WaitGroup
	for range writers {
		s := eventstore.New(srv.JetStream(t), things, types)
		wg.Go(func() {
			for done := 0; done < each; {
				_, tail, err := s.Load(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "x"}, named{Name: "y"}))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, eventstore.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantHistory(t, newStore(t, srv), "a", strings.TrimSpace(strings.Repeat("x y ", writers*each)))
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	good := build(t, "a", made{Name: "x"})
	for _, id := range []string{"", "*", ">", "a.b", "a b", "a\r\nb", "ü", strings.Repeat("x", 129)} {
		if _, err := s.Append(t.Context(), id, eventstore.Tail{}, good); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("append to %q: %v", id, err)
		}
		if _, _, err := s.Load(t.Context(), id); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("load %q: %v", id, err)
		}
	}
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, nil); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("no events: %v", err)
	}
	if _, err := s.Append(t.Context(), "b", eventstore.Tail{}, good); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("events of another aggregate: %v", err)
	}
	large := build(t, "a", made{Name: strings.Repeat("x", eventstore.MaxMessageSize)})
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, large); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("a large event: %v", err)
	}
	many := make([]event.Data, 1001)
	for i := range many {
		many[i] = named{Name: "x"}
	}
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, build(t, "a", many...)); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("1,001 events: %v", err)
	}
	claims := make([]eventstore.Claim, 1000)
	for i := range claims {
		claims[i] = eventstore.Claim{Name: "name", Hash: fmt.Sprint(i)}
	}
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, good, claims...); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("an event with 1,000 claims: %v", err)
	}
	injected := build(t, "a", made{Name: "x"})
	injected[0].UserID = "x\r\nNats-Rollup: all"
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, injected); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("a line break in an attribute: %v", err)
	}
	wantHistory(t, s, "a", "")
}
