package system_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// recorded is one event as it lies in a history stream, read without the toolkit.
type recorded struct {
	sequence uint64
	kind     string // ce-type
	id       string // of the aggregate
	version  string
	eventID  string
	source   string
	data     map[string]any
}

func (r recorded) text(member string) string {
	s, _ := r.data[member].(string)
	return s
}

// tag is what the load has planted in the request that led to the event.
func (r recorded) tag() string {
	switch r.kind {
	case "user.created":
		return r.text("email")
	case "order.created":
		items, _ := r.data["items"].([]any)
		item, _ := items[0].(map[string]any)
		product, _ := item["product_id"].(string)
		return product
	default:
		return r.text("reason")
	}
}

// history reads all events of a stream, oldest first.
func history(ctx context.Context, t *testing.T, js jetstream.JetStream, stream, entity string) []recorded {
	t.Helper()
	var all []recorded
	for msg := range stored(ctx, t, js, stream, entity+".*.*") {
		all = append(all, record(t, msg))
	}
	return all
}

func record(t *testing.T, msg jetstream.Msg) recorded {
	t.Helper()
	at, err := msg.Metadata()
	if err != nil {
		t.Fatalf("metadata: %v", err)
	}
	h := msg.Headers()
	r := recorded{
		sequence: at.Sequence.Stream, kind: h.Get("ce-type"), id: h.Get("ce-subject"), version: h.Get("ce-aggregateversion"),
		eventID: h.Get("ce-id"), source: h.Get("ce-source"),
	}
	if err := json.Unmarshal(msg.Data(), &r.data); err != nil {
		t.Fatalf("data of event %d of %s: %v", r.sequence, at.Stream, err)
	}
	return r
}

// stored yields what is in a stream now.
func stored(ctx context.Context, t *testing.T, js jetstream.JetStream, stream, filter string) func(yield func(jetstream.Msg) bool) {
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

// model is a read model as a bucket holds it: JSON values and index entries by key.
type model map[string]any

// foldUsers makes the three read models of the history of users. Like the folds below
// it knows the rules from their description and not from the services.
func foldUsers(events []recorded) (users, orderReplica, mailReplica model) {
	users, orderReplica, mailReplica = model{}, model{}, model{}
	for _, e := range events {
		if e.kind == "user.roles-changed" {
			u, _ := users[e.id].(map[string]any)
			u["roles"], u["version"] = e.data["roles"], number(e.version)
			orderReplica[e.id] = map[string]any{"version": number(e.version)}
			continue
		}
		users[e.id] = map[string]any{
			"id": e.id, "username": e.data["username"], "email": e.data["email"],
			"created_at": e.data["timestamp"], "version": number(e.version),
		}
		users[fmt.Sprintf("by-time.%020d.%s", e.sequence, e.id)] = e.id
		orderReplica[e.id] = map[string]any{"version": number(e.version)}
		mailReplica[e.id] = map[string]any{"username": e.data["username"], "email": e.data["email"]}
	}
	return users, orderReplica, mailReplica
}

func foldOrders(events []recorded) model {
	orders := model{}
	for _, e := range events {
		if e.kind == "order.created" {
			orders[e.id] = map[string]any{
				"id": e.id, "user_id": e.data["user_id"], "items": e.data["items"], "total_amount": e.data["total_amount"],
				"status": "pending", "created_at": e.data["timestamp"], "updated_at": e.data["timestamp"], "version": number(e.version),
			}
			orders[fmt.Sprintf("by-user.%s.%020d.%s", e.text("user_id"), e.sequence, e.id)] = e.id
			continue
		}
		before, _ := orders[e.id].(map[string]any)
		after := maps.Clone(before)
		if after == nil {
			after = map[string]any{}
		}
		after["status"], after["updated_at"], after["version"] = e.kind[len("order."):], e.data["timestamp"], number(e.version)
		orders[e.id] = after
	}
	return orders
}

func foldNotifications(events []recorded) model {
	notifications := model{}
	for _, e := range events {
		n := map[string]any{
			"id": e.id, "user_id": e.data["user_id"], "kind": e.data["kind"], "status": e.kind[len("notification."):],
			"event_id": e.data["event_id"], "created_at": e.data["timestamp"], "updated_at": e.data["timestamp"], "version": number(e.version),
		}
		if id := e.text("order_id"); id != "" {
			n["order_id"] = id
		}
		notifications[e.id] = n
		notifications[fmt.Sprintf("by-time.%020d.%s", e.sequence, e.id)] = e.id
		notifications[fmt.Sprintf("by-user.%s.%020d.%s", e.text("user_id"), e.sequence, e.id)] = e.id
	}
	return notifications
}

// number is n as JSON has it.
func number(n string) any {
	var v float64
	_, _ = fmt.Sscan(n, &v) // 0 differs from every version
	return v
}

// letter is a mail that has to be there.
type letter struct {
	id, to, subject string
}

// letters returns the mails that these users and orders ask for, by the id of their
// notification. To the user admin nobody writes.
func letters(users, orders []recorded) map[string]letter {
	all, addresses := make(map[string]letter), make(map[string]string)
	for _, e := range others(users) {
		addresses[e.id] = e.text("email")
		id := event.DeriveID("notification", "welcome", e.source, e.eventID)
		all[id] = letter{id: id, to: e.text("email"), subject: "Welcome to our platform!"}
	}
	for _, e := range orders {
		if e.kind == "order.created" {
			id := event.DeriveID("notification", "order_confirmation", e.source, e.eventID)
			all[id] = letter{id: id, to: addresses[e.text("user_id")], subject: "Your order " + e.id}
		}
	}
	return all
}
