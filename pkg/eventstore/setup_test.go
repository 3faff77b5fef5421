package eventstore_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

var (
	things = eventstore.Stream{Name: "THINGS", Entity: "thing"}
	types  = event.NewRegistry("thing", event.Define[made](1), event.Define[named](1))
)

type made struct {
	Name string `json:"name"`
}

func (made) EventType() string { return "thing.made" }

type named struct {
	Name string `json:"name"`
}

func (named) EventType() string { return "thing.named" }

func (n named) Validate() error {
	if n.Name == "" {
		return errors.New("name is missing")
	}
	return nil
}

func newStore(t testing.TB, srv *natstest.Server) *eventstore.Store {
	t.Helper()
	js := srv.JetStream(t)
	if _, err := js.CreateOrUpdateStream(t.Context(), eventstore.HistoryConfig(things)); err != nil {
		t.Fatal(err)
	}
	store := eventstore.New(js, things, types)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func build(t testing.TB, id string, data ...event.Data) []event.Event {
	t.Helper()
	events := make([]event.Event, len(data))
	for i, d := range data {
		e, err := types.New(t.Context(), id, d)
		if err != nil {
			t.Fatal(err)
		}
		events[i] = e
	}
	return events
}

func mustAppend(t testing.TB, s *eventstore.Store, id string, tail eventstore.Tail, data ...event.Data) eventstore.Tail {
	t.Helper()
	tail, err := s.Append(t.Context(), id, tail, build(t, id, data...))
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

// names returns the names in a history, to compare with.
func names(events []eventstore.Recorded) string {
	var all []string
	for _, e := range events {
		switch d := e.Data.(type) {
		case made:
			all = append(all, d.Name)
		case named:
			all = append(all, d.Name)
		}
	}
	return strings.Join(all, " ")
}

func wantHistory(t testing.TB, s *eventstore.Store, id, want string) eventstore.Tail {
	t.Helper()
	events, tail, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(events); got != want {
		t.Fatalf("history of %s is %q, want %q", id, got, want)
	}
	for i, e := range events {
		if e.Version != uint64(i+1) || e.Sequence == 0 || e.Stream != "THINGS" {
			t.Fatalf("event %d has version %d, sequence %d, stream %q", i, e.Version, e.Sequence, e.Stream)
		}
	}
	return tail
}

func wantAny(t testing.TB, s *eventstore.Store, id string) eventstore.Tail {
	t.Helper()
	_, tail, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

// tailOf returns the tail that an aggregate had at version, as far as that is still
// there.
func tailOf(t testing.TB, s *eventstore.Store, id string, version uint64) eventstore.Tail {
	t.Helper()
	events, _, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	tail := eventstore.Tail{Version: version}
	for _, e := range events {
		if e.Version == version {
			tail.Sequence = e.Sequence
		}
	}
	return tail
}
