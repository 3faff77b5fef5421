package ledger

import (
	"fmt"
	"maps"
)

// Model is a read model as a bucket holds it: JSON values and index entries by key.
type Model map[string]any

// FoldUsers makes the three read models of the history of users. Like the folds below
// it knows the rules from their description and not from the services.
func FoldUsers(events []Event) (users, orderReplica, mailReplica Model) {
	users, orderReplica, mailReplica = Model{}, Model{}, Model{}
	for _, e := range events {
		if e.Kind == "user.roles-changed" {
			u, _ := users[e.ID].(map[string]any)
			u["roles"], u["version"] = e.Data["roles"], number(e.Version)
			orderReplica[e.ID] = map[string]any{"version": number(e.Version)}
			continue
		}
		users[e.ID] = map[string]any{
			"id": e.ID, "username": e.Data["username"], "email": e.Data["email"],
			"created_at": e.Data["timestamp"], "version": number(e.Version),
		}
		users[fmt.Sprintf("by-time.%020d.%s", e.Sequence, e.ID)] = e.ID
		orderReplica[e.ID] = map[string]any{"version": number(e.Version)}
		mailReplica[e.ID] = map[string]any{"username": e.Data["username"], "email": e.Data["email"]}
	}
	return users, orderReplica, mailReplica
}

// FoldOrders makes the read model of the history of orders.
func FoldOrders(events []Event) Model {
	orders := Model{}
	for _, e := range events {
		if e.Kind == "order.created" {
			orders[e.ID] = map[string]any{
				"id": e.ID, "user_id": e.Data["user_id"], "items": e.Data["items"], "total_amount": e.Data["total_amount"],
				"status": "pending", "created_at": e.Data["timestamp"], "updated_at": e.Data["timestamp"], "version": number(e.Version),
			}
			orders[fmt.Sprintf("by-user.%s.%020d.%s", e.Text("user_id"), e.Sequence, e.ID)] = e.ID
			continue
		}
		before, _ := orders[e.ID].(map[string]any)
		after := maps.Clone(before)
		if after == nil {
			after = map[string]any{}
		}
		after["status"], after["updated_at"], after["version"] = e.Kind[len("order."):], e.Data["timestamp"], number(e.Version)
		orders[e.ID] = after
	}
	return orders
}

// FoldNotifications makes the read model of the history of notifications.
func FoldNotifications(events []Event) Model {
	notifications := Model{}
	for _, e := range events {
		n := map[string]any{
			"id": e.ID, "user_id": e.Data["user_id"], "kind": e.Data["kind"], "status": e.Kind[len("notification."):],
			"event_id": e.Data["event_id"], "created_at": e.Data["timestamp"], "updated_at": e.Data["timestamp"], "version": number(e.Version),
		}
		if id := e.Text("order_id"); id != "" {
			n["order_id"] = id
		}
		notifications[e.ID] = n
		notifications[fmt.Sprintf("by-time.%020d.%s", e.Sequence, e.ID)] = e.ID
		notifications[fmt.Sprintf("by-user.%s.%020d.%s", e.Text("user_id"), e.Sequence, e.ID)] = e.ID
	}
	return notifications
}

// number is n as JSON has it.
func number(n string) any {
	var v float64
	_, _ = fmt.Sscan(n, &v) // 0 differs from every version
	return v
}
