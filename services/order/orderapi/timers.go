package orderapi

import (
	"errors"
	"time"

	"sluice/pkg/event"
)

// Timers are the types of events that come to the order service when their time has
// come. They lie in no history.
var Timers = event.NewRegistry("order", event.Define[Lapsed](1))

// Lapsed says that the time in which an order was to be confirmed is over. Whether
// that means anything depends on the order.
type Lapsed struct {
	OrderID   string    `json:"order_id"`
	Timestamp time.Time `json:"timestamp"` // when the time was over
}

// EventType returns the wire name.
func (Lapsed) EventType() string { return "order.lapsed" }

// AggregateID returns the order's id.
func (l Lapsed) AggregateID() string { return l.OrderID }

// OccurredAt returns when the time was over.
func (l Lapsed) OccurredAt() time.Time { return l.Timestamp }

// Validate checks what every reader relies on.
func (l Lapsed) Validate() error {
	if l.OrderID == "" {
		return errors.New("order_id is required")
	}
	return nil
}
