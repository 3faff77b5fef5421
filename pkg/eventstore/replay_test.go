package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// replayed returns the names that a replay gives, to compare with.
func replayed(t testing.TB, events iter.Seq2[eventstore.Recorded, error]) string {
	t.Helper()
	var all []eventstore.Recorded
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if n := len(all); n > 0 && all[n-1].Sequence >= e.Sequence {
			t.Fatalf("sequence %d comes after %d", e.Sequence, all[n-1].Sequence)
		}
		all = append(all, e)
	}
	return names(all)
}

func wantConsumers(t testing.TB, s *eventstore.Store, want int) {
	t.Helper()
	stream, err := s.JetStream().Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != want {
		t.Errorf("the stream has %d consumers, want %d", n, want)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	if got := replayed(t, s.OfType(t.Context())); got != "" {
		t.Errorf("an empty stream gives %q", got)
	}
	a := mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "a1"})
	b := mustAppend(t, s, "b", eventstore.Tail{}, made{Name: "b1"}, named{Name: "b2"})
	// Word from the server, as an outsider imitates it: by the status, empty, before
	// the middle of the stream and at its end.
	nc := srv.Connect(t)
	outsider := func() {
		for _, status := range []string{"100", "404", "408", "409", "503"} {
			m := &nats.Msg{Subject: "thing.named.c", Header: nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}}}
			if _, err := nc.RequestMsg(m, 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	outsider()
	a = mustAppend(t, s, "a", a, named{Name: "a2"})
	stream, err := s.JetStream().Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	middle, err := stream.GetMsg(t.Context(), a.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "a", a, build(t, "a", named{Name: "a3"}), eventstore.Claim{Name: "name", Hash: "h"}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "b", b, named{Name: "b3"})
	outsider()

	for want, events := range map[string]iter.Seq2[eventstore.Recorded, error]{
		"a1 b1 b2 a2 a3 b3": s.OfType(t.Context()),
		"a1 b1":             s.OfType(t.Context(), "thing.made"),
		"b2 a2 a3 b3":       s.OfType(t.Context(), "thing.named"),
		"a2 a3 b3":          s.Since(t.Context(), middle.Time),
		"a3 b3":             s.Replay(t.Context(), eventstore.Replay{After: a.Sequence}),
		"":                  s.OfType(t.Context(), "thing.other"),
	} {
		if got := replayed(t, events); got != want {
			t.Errorf("replay gives %q, want %q", got, want)
		}
	}
	if got := replayed(t, s.Since(t.Context(), time.Now().Add(time.Hour))); got != "" {
		t.Errorf("the future gives %q", got)
	}
	var ids []string
	for e, err := range s.Replay(t.Context(), eventstore.Replay{HeadersOnly: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Data != nil || len(e.Event.Data) > 0 {
			t.Errorf("event %d has data", e.Sequence)
		}
		ids = append(ids, fmt.Sprint(e.Subject, e.Version))
	}
	if got := strings.Join(ids, " "); got != "a1 b1 b2 a2 a3 b3" {
		t.Errorf("headers only: %q", got)
	}
	wantConsumers(t, s, 0)
}

// TestReplayOfRareType reads one type only, and checks each event against the others of
// its aggregate.
func TestReplayOfRareType(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	tail := mustAppend(t, s, "a", eventstore.Tail{}, named{Name: "first"})
	for i := range 80 {
		tail = mustAppend(t, s, "a", tail, named{Name: fmt.Sprint(i)})
	}
	tail = mustAppend(t, s, "a", tail, made{Name: "rare"})
	mustAppend(t, s, "a", tail, named{Name: "last"})
	if got := replayed(t, s.OfType(t.Context(), "thing.made")); got != "rare" {
		t.Errorf("replay gives %q", got)
	}
}

func TestReplayEndsWhereTheStreamWas(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	var tail eventstore.Tail
	const before = 1200 // more than the server sends at once
	for range before / 100 {
		data := make([]event.Data, 100)
		for i := range data {
			data[i] = named{Name: "x"}
		}
		tail = mustAppend(t, s, "a", tail, data...)
	}
	count := 0
	for e, err := range s.OfType(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 1 {
			tail = mustAppend(t, s, "a", tail, named{Name: "later"})
		}
		if e.Sequence >= tail.Sequence {
			t.Errorf("event %d was appended later", e.Sequence)
		}
	}
	if count != before {
		t.Errorf("replay gives %d events, want %d", count, before)
	}
}

func TestReplayEndsWhenTheRestIsDeleted(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	var tail eventstore.Tail
	for range 6 {
		data := make([]event.Data, 100)
		for i := range data {
			data[i] = named{Name: "x"}
		}
		tail = mustAppend(t, s, "a", tail, data...)
	}
	stream, err := s.JetStream().Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, err := range s.OfType(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 1 {
			for sequence := uint64(501); sequence <= tail.Sequence; sequence++ { // beyond the first request
				if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if count != 500 {
		t.Errorf("replay gives %d events, want 500", count)
	}
}

func TestReplayFreesItsConsumerWhenLeft(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "one"}, named{Name: "two"})
	for range s.OfType(t.Context()) {
		break
	}
	wantConsumers(t, s, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := false
	for _, err := range s.OfType(ctx) {
		if ended {
			t.Error("there is something after the error")
		}
		cancel()
		ended = errors.Is(err, context.Canceled)
	}
	if !ended {
		t.Error("a cancelled replay does not say so")
	}
	wantConsumers(t, s, 0)
}

func TestReplayGoesOnWithoutItsConsumer(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	var tail eventstore.Tail
	for range 6 {
		data := make([]event.Data, 100)
		for i := range data {
			data[i] = named{Name: "x"}
		}
		tail = mustAppend(t, s, "a", tail, data...)
	}
	stream, err := s.JetStream().Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	count := uint64(0)
	for e, err := range s.OfType(t.Context()) {
		if err != nil || e.Version != count+1 {
			t.Fatalf("after %d events a replay without its consumer has version %d, %v", count, e.Version, err)
		}
		if count == 0 {
			for name := range stream.ConsumerNames(t.Context()).Name() {
				if err := stream.DeleteConsumer(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
		}
		count++
	}
	if count != 600 {
		t.Errorf("a replay without its consumer ended after %d events", count)
	}
	wantConsumers(t, s, 0)
}

func TestReplayOfUnknownType(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "one"}, named{Name: "two"})
	older := eventstore.New(srv.JetStream(t), things, event.NewRegistry("thing", event.Define[made](1)))
	if got := replayed(t, older.OfType(t.Context(), "thing.made")); got != "one" {
		t.Errorf("replay of a known type gives %q", got)
	}
	for _, headersOnly := range []bool{false, true} {
		var last error
		for _, err := range older.Replay(t.Context(), eventstore.Replay{HeadersOnly: headersOnly}) {
			last = err
		}
		if !errors.Is(last, event.ErrUnknownType) {
			t.Errorf("replay ended with %v", last)
		}
	}
	for _, err := range s.OfType(t.Context(), "thing.*") {
		if !errors.Is(err, event.ErrInvalid) {
			t.Errorf("a wildcard for a type: %v", err)
		}
	}
}
