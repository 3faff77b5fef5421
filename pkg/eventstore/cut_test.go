package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// trial is an append whose connection fails.
type trial struct {
	srv      *natstest.Server
	observer *eventstore.Store // on a connection that does not fail
	stream   jetstream.Stream

	id      string
	data    []event.Data
	claim   bool
	grouped bool
	how     failure
	at      place
	// patient appends wait until they know; the others end when the connection fails.
	patient bool
}

// TestTheConnectionFailsAnywhere lets the connection of an append fail before, in and
// after each protocol message that the append sends or receives. What Append says must be
// true: with no error the events are there, once; with ErrOutcomeUnknown a repeat finds
// out; with any other error they are not there and do not come later. And never is half a
// decision there, or an event without its claim.
func TestTheConnectionFailsAnywhere(t *testing.T) {
	t.Parallel()
	one, two := []event.Data{made{Name: "a"}}, []event.Data{made{Name: "a"}, named{Name: "b"}}
	var (
		mu      sync.Mutex
		answers = make(map[string]int)
		trials  errgroup.Group
	)
	trials.SetLimit(100) // they wait most of the time
	for _, c := range []struct {
		name     string
		trial    trial
		messages [2]int // each way
	}{
		{"an event and its claim", trial{data: one, claim: true}, [2]int{3, 2}}, // the claim is looked up first
		{"one event", trial{data: one}, [2]int{1, 1}},
		{"two events", trial{data: two}, [2]int{2, 1}},
		{"two events in a group", trial{data: two, grouped: true}, [2]int{2, 1}},
	} {
		// A server each: a stream takes 50 unfinished batches, and forgets them after ten seconds.
		srv := natstest.Start(t)
		js := srv.JetStream(t)
		config := eventstore.HistoryConfig(things)
		config.Storage = jetstream.MemoryStorage // the same rules, quicker
		stream, err := js.CreateStream(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		observer := eventstore.New(js, things, types)
		for _, patient := range []bool{true, false} {
			for _, how := range []failure{cut, mute} {
				for _, at := range places(c.messages) {
					x := c.trial
					x.srv, x.observer, x.stream, x.id = srv, observer, stream, event.NewID()
					x.how, x.at, x.patient = how, at, patient
					trials.Go(func() error {
						ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
						defer cancel()
						answer, err := x.run(ctx)
						if err != nil {
							t.Errorf("%s, patient %t, %s %s: %v", c.name, patient, how, at, err)
						}
						mu.Lock()
						defer mu.Unlock()
						answers[answer]++
						return nil
					})
				}
			}
		}
	}
	if err := trials.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []string{"success", "failure", "unknown"} {
		if answers[answer] == 0 {
			t.Errorf("the answers are %v, none is %s", answers, answer)
		}
	}
}

// places returns every place in as many messages each way.
func places(messages [2]int) []place {
	var all []place
	for w, count := range messages {
		for message := range count {
			for part := range parts {
				all = append(all, place{way(w), message, part})
			}
		}
	}
	return all
}

// run appends, lets the connection fail, and checks what Append says against what is
// there. It returns the kind of answer.
func (x trial) run(ctx context.Context) (answer string, err error) {
	proxy, err := newCutter(strings.TrimPrefix(x.srv.URL(), "nats://"))
	if err != nil {
		return "", err
	}
	defer proxy.close()
	nc, err := nats.Connect(proxy.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		return "", err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return "", err
	}
	store := eventstore.New(js, things, types, eventstore.SyncAlways(x.grouped))
	if _, _, err := store.LoadLatest(ctx, x.id, eventstore.Tail{}); err != nil { // connected and warm
		return "", err
	}
	events := make([]event.Event, len(x.data))
	for i, d := range x.data {
		if events[i], err = types.New(ctx, x.id, d); err != nil {
			return "", err
		}
	}
	given := slices.Clone(events)

	appending, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan struct{})
	proxy.arm(x.how, x.at, func() {
		close(failed)
		if !x.patient {
			cancel()
		}
	})
	tail, err := store.Append(appending, x.id, eventstore.Tail{}, events, x.claims()...)
	switch {
	case err == nil:
		answer = "success"
		err = x.stored(ctx, tail, events)
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
		answer = "unknown"
		err = x.settle(ctx, given)
	default:
		answer, err = "failure", x.count(ctx, 0)
	}
	if err != nil {
		return answer, fmt.Errorf("after %s: %w", answer, err)
	}
	select {
	case <-failed: // the answer may have been faster, when all came through
	case <-ctx.Done():
		return answer, errors.New("the connection did not fail")
	}

	// What the client may still have had in its buffer is with the server after this.
	if err := flush(ctx, nc); err != nil {
		return answer, err
	}
	if answer == "failure" {
		err = x.count(ctx, 0)
	} else {
		err = x.present(ctx)
	}
	if err != nil {
		return answer, fmt.Errorf("a while after %s: %w", answer, err)
	}
	return answer, nil
}

// flush waits until the server has everything; a connection may break meanwhile.
func flush(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, time.Second)
		err := nc.FlushWithContext(try)
		stop()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (x trial) claims() []eventstore.Claim {
	if !x.claim {
		return nil
	}
	return []eventstore.Claim{{Name: "name", Hash: x.id}}
}

// stored wants what a success promises.
func (x trial) stored(ctx context.Context, tail eventstore.Tail, events []event.Event) error {
	recorded, now, err := x.observer.LoadLatest(ctx, x.id, eventstore.Tail{})
	if err != nil {
		return err
	}
	if fmt.Sprint(now) != fmt.Sprint(tail) {
		return fmt.Errorf("Append returned the tail %+v, loaded is %+v", tail, now)
	}
	for i, e := range recorded {
		if i >= len(events) || e.ID != events[i].ID || e.Sequence != events[i].Sequence || e.Version != events[i].Version {
			return fmt.Errorf("event %d is %+v, Append noted %+v", i, e.Event, events)
		}
	}
	return x.present(ctx)
}

// settle wants all or nothing, and all after a repeat.
func (x trial) settle(ctx context.Context, events []event.Event) error {
	recorded, _, err := x.observer.LoadLatest(ctx, x.id, eventstore.Tail{})
	if err != nil {
		return err
	}
	if len(recorded) > 0 && len(recorded) != len(x.data) {
		return fmt.Errorf("%d of %d events are there", len(recorded), len(x.data))
	}
	tail, err := x.observer.Append(ctx, x.id, eventstore.Tail{}, events, x.claims()...)
	if err != nil {
		return fmt.Errorf("the repeat: %w", err)
	}
	return x.stored(ctx, tail, events)
}

// present wants every event once, and the claim held.
func (x trial) present(ctx context.Context) error {
	recorded, _, err := x.observer.LoadLatest(ctx, x.id, eventstore.Tail{})
	if err != nil {
		return err
	}
	if got, want := names(recorded), []string{"", "a", "a b"}[len(x.data)]; got != want {
		return fmt.Errorf("the history is %q, want %q", got, want)
	}
	return x.count(ctx, len(x.data))
}

// count wants so many messages of the aggregate, genuine or not, and one of its claim
// where there are events.
func (x trial) count(ctx context.Context, events int) error {
	for filter, want := range map[string]int{things.Of(x.id): events, "thing.claim.name." + x.id: len(x.claims()) * min(events, 1)} {
		info, err := x.stream.Info(ctx, jetstream.WithSubjectFilter(filter))
		if err != nil {
			return err
		}
		got := 0
		for _, n := range info.State.Subjects {
			got += int(n)
		}
		if got != want {
			return fmt.Errorf("%d messages on %s, want %d", got, filter, want)
		}
	}
	return nil
}
