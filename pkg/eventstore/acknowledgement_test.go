package eventstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// TestLostAcknowledgement cuts the connection after the stream stored the events and
// before the client heard of it.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		data   []event.Data
		claims []eventstore.Claim
		others bool // somebody else appends before the client is back
	}{
		{name: "single", data: []event.Data{made{Name: "a"}}},
		{name: "batch", data: []event.Data{made{Name: "a"}, named{Name: "b"}}},
		{name: "claim", data: []event.Data{made{Name: "a"}}, claims: []eventstore.Claim{{Name: "email", Hash: "h"}}},
		{name: "others", data: []event.Data{made{Name: "a"}}, others: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			observer := newStore(t, srv)
			proxy := srv.Proxy(t)
			js, err := jetstream.New(natstest.Dial(t, proxy.URL()))
			if err != nil {
				t.Fatal(err)
			}
			nc := srv.Connect(t)
			feed, err := nc.SubscribeSync("feed.thing.>")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil { // the server knows the subscription before anything is stored
				t.Fatal(err)
			}
			s := eventstore.New(js, things, types)
			if _, _, err := s.Load(t.Context(), "a"); err != nil { // connected and warm
				t.Fatal(err)
			}
			proxy.MuteAfter("HPUB thing.")
			events := build(t, "a", c.data...)
			type outcome struct {
				tail eventstore.Tail
				err  error
			}
			result := make(chan outcome, 1)
			go func() {
				tail, err := s.Append(t.Context(), "a", eventstore.Tail{}, events, c.claims...)
				result <- outcome{tail, err}
			}()
			for range c.data {
				if _, err := feed.NextMsg(10 * time.Second); err != nil {
					t.Fatal(err)
				}
			}
			proxy.Cut()
			want := ""
			for _, d := range c.data {
				want = strings.TrimSpace(want + " " + names([]eventstore.Recorded{{Data: d}}))
			}
			if c.others {
				mustAppend(t, observer, "a", wantAny(t, observer, "a"), named{Name: "other"})
				want += " other"
			}
			got := <-result
			if got.err != nil {
				t.Fatal(got.err)
			}
			if got.tail.Version != uint64(len(c.data)) {
				t.Errorf("append returned version %d", got.tail.Version)
			}
			wantHistory(t, observer, "a", want)
		})
	}
}

func TestCancelledAppendSaysSo(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Append(ctx, "a", eventstore.Tail{}, build(t, "a", made{Name: "x"})); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("append without a server: %v", err)
	}
}
