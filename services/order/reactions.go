package order

import (
	"context"

	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

// takeCreated takes in an order from outside. It may run twice: the event is the
// command's Origin and counts once.
func (h handlers) takeCreated(ctx context.Context, e event.Of[orderapi.Created]) error {
	if err := h.users.mustExist(ctx, e.Data.UserID); err != nil {
		return err
	}
	_, err := h.place(ctx, &e.Event, e.Data)
	return err
}

// takeMove takes in a step of an order from outside. It may run twice: the event is
// the command's Origin and counts once.
func takeMove[T event.Data](h handlers) func(ctx context.Context, e event.Of[T]) error {
	return func(ctx context.Context, e event.Of[T]) error {
		_, err := h.move(ctx, e.Subject, &e.Event, e.Data)
		return err
	}
}
