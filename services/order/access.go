package order

import (
	"context"

	"sluice/pkg/aggregate"
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// mayActFor refuses what a customer asks for in the name of another. It is asked before
// anything is looked for, so that it does not tell who is there.
func mayActFor(ctx context.Context, user string) error {
	if !auth.From(ctx).Owns(user) {
		return endpoint.Forbidden("you may do this for yourself only")
	}
	return nil
}

// maySee hides an order from customers whose it is not: for them there is none. Whose
// an order is never changes, so it may be asked before anything else is.
func (h handlers) maySee(ctx context.Context, id string) error {
	asks := auth.From(ctx)
	if asks.Is(auth.Operator) {
		return nil
	}
	result, err := h.orders.Get(ctx, id)
	if err == nil && !asks.Owns(result.State.UserID) {
		err = aggregate.ErrNotFound
	}
	return notFound(err)
}
