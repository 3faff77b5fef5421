// Package notificationapi is what others may know of the notification service: its
// events, its endpoint and their types. Events hold ids only, so that nothing in
// this history has to be forgotten with a user.
package notificationapi

import (
	"errors"
	"time"

	"sluice/pkg/event"
)

// Events are the types in the history of notifications.
var Events = event.NewRegistry("notification",
	event.Define[Sent](1),
	event.Define[Failed](1),
)

// Kind says what a notification is about.
type Kind string

// The kinds of notification.
const (
	KindWelcome           Kind = "welcome"
	KindOrderConfirmation Kind = "order_confirmation"
	KindAlert             Kind = "alert" // to an operator
)

// About says what a notification is about, to whom it goes and which event asked
// for it.
type About struct {
	NotificationID string    `json:"notification_id"`
	UserID         string    `json:"user_id"` // empty when it goes to an operator, who need not be a user
	OrderID        string    `json:"order_id,omitempty"`
	AlertID        string    `json:"alert_id,omitempty"`
	Kind           Kind      `json:"kind"`
	EventID        string    `json:"event_id"`
	Timestamp      time.Time `json:"timestamp"`
}

// AggregateID returns the notification's id.
func (a About) AggregateID() string { return a.NotificationID }

// OccurredAt returns when the mail was sent, or given up.
func (a About) OccurredAt() time.Time { return a.Timestamp }

// Validate checks what every reader relies on.
func (a About) Validate() error {
	if a.NotificationID == "" || a.UserID == "" && a.AlertID == "" || a.Kind == "" {
		return errors.New("notification_id, kind, and user_id or alert_id are required")
	}
	return nil
}

// Sent says that the mail server took the mail.
type Sent struct{ About }

// EventType returns the wire name.
func (Sent) EventType() string { return "notification.sent" }

// Failed says that the mail could not be sent and will not be tried again, unless
// its dead letter is sent back.
type Failed struct{ About }

// EventType returns the wire name.
func (Failed) EventType() string { return "notification.failed" }
