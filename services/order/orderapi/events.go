// Package orderapi is what others may know of the order service: its events, its
// endpoints and their types.
package orderapi

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/bojanz/currency"

	"sluice/pkg/event"
)

// Events are the types in the history of orders.
var Events = event.NewRegistry("order",
	event.Define[Created](1).First(),
	event.Define[Confirmed](1),
	event.Define[Shipped](1),
	event.Define[Delivered](1),
	event.Define[Cancelled](1),
)

// Item is one line of an order.
type Item struct {
	ProductID string          `json:"product_id" validate:"required,max=128"`
	Quantity  int64           `json:"quantity" validate:"min=1,max=1000000"`
	Price     currency.Amount `json:"price"` // of one piece
}

// Created says that a user placed an order.
type Created struct {
	OrderID     string          `json:"order_id"`
	UserID      string          `json:"user_id"`
	Items       []Item          `json:"items"`
	TotalAmount currency.Amount `json:"total_amount"` // exactly the sum of price × quantity
	Timestamp   time.Time       `json:"timestamp"`
}

// EventType returns the wire name.
func (Created) EventType() string { return "order.created" }

// AggregateID returns the order's id.
func (c Created) AggregateID() string { return c.OrderID }

// OccurredAt returns when the order was placed.
func (c Created) OccurredAt() time.Time { return c.Timestamp }

// Validate checks what every reader relies on.
func (c Created) Validate() error {
	if c.OrderID == "" || c.UserID == "" || len(c.Items) == 0 {
		return errors.New("order_id, user_id and items are required")
	}
	total, wrong := Total(c.Items)
	if len(wrong) > 0 {
		return errors.New(wrong[0].Field + " " + wrong[0].Message)
	}
	if !total.Equal(c.TotalAmount) {
		return errors.New("total_amount is not the sum of the items")
	}
	return nil
}

// Transition is what every later event of an order says.
type Transition struct {
	OrderID   string    `json:"order_id"`
	Reason    string    `json:"reason,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// AggregateID returns the order's id.
func (t Transition) AggregateID() string { return t.OrderID }

// OccurredAt returns when the step was taken.
func (t Transition) OccurredAt() time.Time { return t.Timestamp }

// Validate checks what every reader relies on.
func (t Transition) Validate() error {
	if t.OrderID == "" {
		return errors.New("order_id is required")
	}
	if utf8.RuneCountInString(t.Reason) > maxReason {
		return fmt.Errorf("reason has more than %d characters", maxReason)
	}
	return nil
}

const maxReason = 500

// Confirmed says that a pending order was accepted.
type Confirmed struct{ Transition }

// EventType returns the wire name.
func (Confirmed) EventType() string { return "order.confirmed" }

// Shipped says that a confirmed order left the house.
type Shipped struct{ Transition }

// EventType returns the wire name.
func (Shipped) EventType() string { return "order.shipped" }

// Delivered says that a shipped order arrived.
type Delivered struct{ Transition }

// EventType returns the wire name.
func (Delivered) EventType() string { return "order.delivered" }

// Cancelled says that a pending or confirmed order will not happen.
type Cancelled struct{ Transition }

// EventType returns the wire name.
func (Cancelled) EventType() string { return "order.cancelled" }
