package live_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
	"sluice/services/gateway/live"
)

type testServer = httptest.Server

const patience = 300 * time.Millisecond

func overHTTP2(s *httptest.Server) { s.EnableHTTP2 = true }

// TestAnOutageIsSaidAndMended restarts the server under readers.
func TestAnOutageIsSaidAndMended(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{Heartbeat: 50 * time.Millisecond})
	w.note(t, "a", "alice")
	all, own := w.client("operator", "note.*.*").open(t), w.client("alice", "note.*.a").open(t)
	for n := range 3 {
		e := w.change(t, "a", fmt.Sprint(n))
		all.expect(t, e)
		own.expect(t, e)
		w.nats.Stop()
		all.comment(t, "NOTES can't be read just now")
		own.comment(t, "NOTES can't be read just now")
		all.comment(t, "heartbeat")
		w.nats.Restart(t)
		until(t, "the stream answers", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, _, err := w.notes.Load(ctx, "a")
			return err == nil
		})
		e = w.change(t, "a", fmt.Sprint(n, " after"))
		all.comment(t, "NOTES can be read again")
		own.comment(t, "NOTES can be read again")
		all.expect(t, e)
		own.expect(t, e)
	}
}

// TestALostConsumerIsReplaced takes the consumer away under a reader.
func TestALostConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	s := w.client("operator", "note.*.*").open(t)
	s.expect(t, w.note(t, "a", "alice"))
	stream, err := w.js.Stream(t.Context(), notes.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	s.expect(t, w.change(t, "a", "x"), w.change(t, "a", "y"))
}

// TestGarbageIsNeverShown publishes what does not belong on the subjects of an aggregate.
func TestGarbageIsNeverShown(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	c := w.client("operator", "note.*.*", "task.*.*")
	own := w.client("alice", "note.*.a")
	want := []event.Event{w.note(t, "a", "alice")}
	s := c.open(t)
	last := want[0].Sequence
	for i, m := range garbage("a", last) {
		w.publish(t, m)
		if i%5 == 0 {
			e := w.change(t, "a", fmt.Sprint(i))
			s.expect(t, e)
			want = append(want, e)
		}
	}
	e := w.change(t, "a", "the end")
	s.expect(t, e)
	want = append(want, e)
	c.last, own.last = "NOTES=0,TASKS=0", "NOTES=0"
	again, mine := c.open(t), own.open(t)
	again.expect(t, want...)
	mine.expect(t, want...)
	e = w.note(t, "b", "bob")
	s.expect(t, e)
	again.expect(t, e)
}

// garbage are messages around an aggregate whose only event lies at last.
func garbage(id string, last uint64) []*nats.Msg {
	header := func(kind string, pairs ...string) nats.Header {
		h := nats.Header{
			"ce-specversion": {"1.0"}, "ce-id": {event.NewID()}, "ce-source": {"/services/note"}, "ce-type": {kind},
			"ce-subject": {id}, "ce-time": {"2026-01-02T03:04:05Z"}, "ce-dataschema": {"sluice:/schemas/" + kind + "/v1"},
			"content-type": {"application/json"},
		}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = []string{pairs[i+1]}
		}
		return h
	}
	links := fmt.Sprint(last)
	return []*nats.Msg{
		{Subject: "note.changed." + id, Data: []byte("hello")},
		{Subject: "note.changed." + id, Header: nats.Header{"Status": {"503"}}},
		{Subject: "note.changed." + id, Header: nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}},
		{Subject: "note.changed." + id, Header: nats.Header{"Status": {"100"}}},
		{Subject: "note.changed." + id, Header: nats.Header{"Status": {"408"}, "Nats-Pending-Messages": {"1"}}},
		{Subject: "note.claim." + id, Data: []byte(`{}`)},
		{Subject: "note.claim.name." + id, Data: []byte(`{}`)},
		{Subject: "note.changed." + id, Data: []byte(strings.Repeat("x", 100_000))},
		{Subject: "note.written." + id, Header: header("note.written", "ce-aggregateversion", "1", "ce-step", "1"), Data: []byte(`{"owner":"mallory"}`)},
		{Subject: "note.changed." + id, Header: header("note.changed", "ce-aggregateversion", "2", "ce-step", "1"), Data: []byte(`{}`)},
		{Subject: "note.changed." + id, Header: header("note.changed", "ce-aggregateversion", "3", "ce-step", "1", "ce-previous", links), Data: []byte(`{}`)},
		{Subject: "note.changed." + id, Header: header("note.changed", "ce-aggregateversion", "2", "ce-step", "2", "ce-previous", links), Data: []byte(`{}`)},
		{Subject: "note.erased." + id, Header: header("note.erased", "ce-aggregateversion", "9", "ce-step", "1", "ce-previous", links), Data: []byte(`{}`)},
		{Subject: "note.pinned." + id, Header: header("note.pinned", "ce-aggregateversion", "9", "ce-step", "1", "ce-previous", links), Data: []byte(`{}`)},
		{Subject: "note.changed.other", Header: header("note.changed", "ce-aggregateversion", "2", "ce-step", "1", "ce-previous", links), Data: []byte(`{}`)},
	}
}

// TestSilenceIsNotSlowness has longer pauses than a reader has time for.
func TestSilenceIsNotSlowness(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]func(*testServer){"HTTP/1.1": nil, "HTTP/2": {overHTTP2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, live.Config{Patience: 100 * time.Millisecond, Heartbeat: 300 * time.Millisecond}, options...)
			s := w.client("operator", "note.*.*").open(t)
			for range 3 {
				s.comment(t, "heartbeat")
			}
			s.expect(t, w.note(t, "a", "alice"))
		})
	}
}
