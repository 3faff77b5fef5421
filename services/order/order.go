package order

import (
	"fmt"
	"slices"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

// apply folds one event into an order.
func apply(o orderapi.Order, e event.Event, data event.Data) orderapi.Order {
	moved := func(to orderapi.Status, at time.Time) { o.Status, o.UpdatedAt = to, at }
	switch d := data.(type) {
	case orderapi.Created:
		o.ID, o.UserID, o.Items, o.TotalAmount, o.CreatedAt = e.Subject, d.UserID, d.Items, d.TotalAmount, d.Timestamp
		moved(orderapi.StatusPending, d.Timestamp)
	case orderapi.Confirmed:
		moved(orderapi.StatusConfirmed, d.Timestamp)
	case orderapi.Shipped:
		moved(orderapi.StatusShipped, d.Timestamp)
	case orderapi.Delivered:
		moved(orderapi.StatusDelivered, d.Timestamp)
	case orderapi.Cancelled:
		moved(orderapi.StatusCancelled, d.Timestamp)
	}
	o.Version = e.Version
	return o
}

// place decides whether an order may come into being.
func place(o orderapi.Order, created orderapi.Created) ([]event.Data, error) {
	if o.Version > 0 {
		return nil, endpoint.Conflict("this order exists already", endpoint.FieldError{Field: "id", Message: "exists already"})
	}
	return []event.Data{created}, nil
}

// move decides whether an order may take the step that e stands for.
func move(o orderapi.Order, e event.Data) ([]event.Data, error) {
	if o.Version == 0 {
		return nil, endpoint.NotFound("Order not found", endpoint.FieldError{Field: "id", Message: "Order not found"})
	}
	to, from := step(e)
	if !slices.Contains(from, o.Status) {
		return nil, endpoint.Conflict(fmt.Sprintf("an order that is %s cannot become %s", o.Status, to),
			endpoint.FieldError{Field: "status", Message: fmt.Sprintf("is %s", o.Status)})
	}
	return []event.Data{e}, nil
}

// step returns where e leads and from where: pending → confirmed → shipped →
// delivered, and cancelled from the first two.
func step(e event.Data) (to orderapi.Status, from []orderapi.Status) {
	switch e.(type) {
	case orderapi.Confirmed:
		return orderapi.StatusConfirmed, []orderapi.Status{orderapi.StatusPending}
	case orderapi.Shipped:
		return orderapi.StatusShipped, []orderapi.Status{orderapi.StatusConfirmed}
	case orderapi.Delivered:
		return orderapi.StatusDelivered, []orderapi.Status{orderapi.StatusShipped}
	case orderapi.Cancelled:
		return orderapi.StatusCancelled, []orderapi.Status{orderapi.StatusPending, orderapi.StatusConfirmed}
	default:
		return "", nil
	}
}

// deadline returns when an order that was placed at that time has to be confirmed:
// never, the zero time, when it does not say when it was placed or nothing is asked.
func deadline(placed time.Time, timeout time.Duration) time.Time {
	if placed.IsZero() || timeout == 0 {
		return time.Time{}
	}
	return placed.Add(timeout)
}

// lapse decides what becomes of an order when somebody says at now that its time is
// over: it is cancelled if it is still pending at its deadline, and otherwise nothing
// happens.
func lapse(o orderapi.Order, timeout time.Duration, now time.Time) ([]event.Data, error) {
	due := deadline(o.CreatedAt, timeout)
	if o.Status != orderapi.StatusPending || due.IsZero() || now.Before(due) {
		return nil, nil
	}
	return move(o, orderapi.Cancelled{Transition: orderapi.Transition{OrderID: o.ID, Reason: "not confirmed in time", Timestamp: now}})
}
