package ledger

import (
	"testing"

	"sluice/pkg/event"
)

// Letter is a mail that has to be there.
type Letter struct {
	ID, To, Subject string
}

// Letters returns the mails that these users and orders ask for, by the id of their
// notification. To the user admin nobody writes.
func Letters(users, orders []Event) map[string]Letter {
	all, addresses := make(map[string]Letter), make(map[string]string)
	for _, e := range Others(users) {
		addresses[e.ID] = e.Text("email")
		id := event.DeriveID("notification", "welcome", e.Source, e.EventID)
		all[id] = Letter{ID: id, To: e.Text("email"), Subject: "Welcome to our platform!"}
	}
	for _, e := range orders {
		if e.Kind == "order.created" {
			id := event.DeriveID("notification", "order_confirmation", e.Source, e.EventID)
			all[id] = Letter{ID: id, To: addresses[e.Text("user_id")], Subject: "Your order " + e.ID}
		}
	}
	return all
}

// CheckNotifications holds that each was sent and Event once.
func CheckNotifications(t testing.TB, events []Event, expected map[string]Letter) {
	t.Helper()
	for _, e := range events {
		if e.Kind != "notification.sent" {
			t.Errorf("%s %s", e.Kind, e.ID)
		}
		if _, ok := expected[e.ID]; !ok {
			t.Errorf("notification %s has no cause", e.ID)
		}
	}
	if len(events) != len(expected) {
		t.Errorf("%d notifications are Event, not %d", len(events), len(expected))
	}
}
