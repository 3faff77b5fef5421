package ledger

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
)

// Event is one event as it lies in a history stream, read without the toolkit.
type Event struct {
	Sequence uint64
	Kind     string // ce-type
	ID       string // of the aggregate
	Version  string
	EventID  string
	Source   string
	Data     map[string]any
}

// Text returns a member of the data that is a string, and nothing when it is not.
func (e Event) Text(member string) string {
	s, _ := e.Data[member].(string)
	return s
}

// Tag is what the load has planted in the request that led to the event.
func (e Event) Tag() string {
	switch e.Kind {
	case "user.created":
		return e.Text("email")
	case "order.created":
		items, _ := e.Data["items"].([]any)
		item, _ := items[0].(map[string]any)
		product, _ := item["product_id"].(string)
		return product
	default:
		return e.Text("reason")
	}
}

// History reads all events of a stream, oldest first.
func History(ctx context.Context, t testing.TB, js jetstream.JetStream, stream, entity string) []Event {
	t.Helper()
	var all []Event
	for msg := range Stored(ctx, t, js, stream, entity+".*.*") {
		all = append(all, EventOf(t, msg))
	}
	return all
}

// EventOf reads one message of a history.
func EventOf(t testing.TB, msg jetstream.Msg) Event {
	t.Helper()
	at, err := msg.Metadata()
	if err != nil {
		t.Fatalf("metadata: %v", err)
	}
	h := msg.Headers()
	e := Event{
		Sequence: at.Sequence.Stream, Kind: h.Get("ce-type"), ID: h.Get("ce-subject"), Version: h.Get("ce-aggregateversion"),
		EventID: h.Get("ce-id"), Source: h.Get("ce-source"),
	}
	if err := json.Unmarshal(msg.Data(), &e.Data); err != nil {
		t.Fatalf("data of event %d of %s: %v", e.Sequence, at.Stream, err)
	}
	return e
}

// Stored yields what is in a stream now.
func Stored(ctx context.Context, t testing.TB, js jetstream.JetStream, stream, filter string) func(yield func(jetstream.Msg) bool) {
	t.Helper()
	return func(yield func(jetstream.Msg) bool) {
		consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
		if err != nil {
			t.Fatalf("read %s: %v", stream, err)
		}
		if consumer.CachedInfo().NumPending == 0 {
			return
		}
		messages, err := consumer.Messages()
		if err != nil {
			t.Fatalf("read %s: %v", stream, err)
		}
		defer messages.Stop()
		for {
			msg, err := messages.Next(jetstream.NextContext(ctx))
			if err != nil {
				t.Fatalf("read %s: %v", stream, err)
			}
			at, err := msg.Metadata()
			if err != nil {
				t.Fatalf("read %s: %v", stream, err)
			}
			if !yield(msg) || at.NumPending == 0 {
				return
			}
		}
	}
}

// CheckVersions holds that the events of each aggregate are numbered 1, 2, 3 …, and
// that none is there twice.
func CheckVersions(t testing.TB, events []Event) {
	t.Helper()
	last, ids := make(map[string]int), make(map[string]bool)
	for _, e := range events {
		last[e.ID]++
		if e.Version != fmt.Sprint(last[e.ID]) {
			t.Errorf("event %d is version %s of %s after %d others", e.Sequence, e.Version, e.ID, last[e.ID]-1)
		}
		if ids[e.Source+" "+e.EventID] {
			t.Errorf("event %s is there twice", e.EventID)
		}
		ids[e.Source+" "+e.EventID] = true
	}
}

// CheckUnique holds that no two users have one name or address.
func CheckUnique(t testing.TB, users []Event) {
	t.Helper()
	for _, member := range []string{"username", "email"} {
		holders := make(map[string]string)
		for _, e := range users {
			if e.Kind != "user.created" {
				continue
			}
			if other, taken := holders[e.Text(member)]; taken {
				t.Errorf("%s %s belongs to %s and %s", member, e.Text(member), other, e.ID)
			}
			holders[e.Text(member)] = e.ID
		}
	}
}
