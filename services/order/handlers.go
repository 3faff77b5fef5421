package order

import (
	"context"
	"errors"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
)

type handlers struct {
	orders *aggregate.Aggregates[orderapi.Order]
	view   *projection.View[orderapi.Order]
	users  users
}

func (h handlers) create(ctx context.Context, req orderapi.CreateRequest) (orderapi.Order, error) {
	total, wrong := orderapi.Total(req.Items)
	if len(wrong) > 0 {
		return orderapi.Order{}, endpoint.Invalid("the items are not acceptable", wrong...)
	}
	if err := mayActFor(ctx, req.UserID); err != nil {
		return orderapi.Order{}, err
	}
	if err := h.users.mustExist(ctx, req.UserID); err != nil {
		return orderapi.Order{}, err
	}
	return h.place(ctx, nil, orderapi.Created{
		OrderID: event.MetadataFrom(ctx).NewID("order"), UserID: req.UserID,
		Items: req.Items, TotalAmount: total, Timestamp: time.Now().UTC(),
	})
}

func (h handlers) place(ctx context.Context, origin *event.Event, created orderapi.Created) (orderapi.Order, error) {
	result, err := h.orders.Do(ctx, aggregate.Command[orderapi.Order]{
		ID: created.OrderID, Create: true,
		Decide: func(o orderapi.Order) ([]event.Data, error) { return place(o, created) },
		Origin: origin,
	})
	return result.State, err
}

func (h handlers) confirm(ctx context.Context, req orderapi.TransitionRequest) (orderapi.Order, error) {
	return h.move(ctx, req.ID, nil, orderapi.Confirmed{Transition: transition(req)})
}

func (h handlers) ship(ctx context.Context, req orderapi.TransitionRequest) (orderapi.Order, error) {
	return h.move(ctx, req.ID, nil, orderapi.Shipped{Transition: transition(req)})
}

func (h handlers) deliver(ctx context.Context, req orderapi.TransitionRequest) (orderapi.Order, error) {
	return h.move(ctx, req.ID, nil, orderapi.Delivered{Transition: transition(req)})
}

func (h handlers) cancel(ctx context.Context, req orderapi.TransitionRequest) (orderapi.Order, error) {
	if err := h.maySee(ctx, req.ID); err != nil {
		return orderapi.Order{}, err
	}
	return h.move(ctx, req.ID, nil, orderapi.Cancelled{Transition: transition(req)})
}

func transition(req orderapi.TransitionRequest) orderapi.Transition {
	return orderapi.Transition{OrderID: req.ID, Reason: req.Reason, Timestamp: time.Now().UTC()}
}

func (h handlers) move(ctx context.Context, id string, origin *event.Event, e event.Data) (orderapi.Order, error) {
	result, err := h.orders.Do(ctx, aggregate.Command[orderapi.Order]{
		ID:     id,
		Decide: func(o orderapi.Order) ([]event.Data, error) { return move(o, e) },
		Origin: origin,
	})
	return result.State, err
}

// get answers from the read model, and from the history when the model has not got
// there yet or the past is asked for.
func (h handlers) get(ctx context.Context, req orderapi.GetRequest) (orderapi.Order, error) {
	o, err := h.look(ctx, req)
	if err == nil && !auth.From(ctx).Owns(o.UserID) {
		err = aggregate.ErrNotFound
	}
	if err != nil {
		return orderapi.Order{}, notFound(err)
	}
	return o, nil
}

func (h handlers) look(ctx context.Context, req orderapi.GetRequest) (orderapi.Order, error) {
	switch {
	case req.Version > 0:
		past, err := h.orders.GetVersion(ctx, req.ID, req.Version)
		return past.State, err
	case !req.At.IsZero():
		past, err := h.orders.GetAt(ctx, req.ID, req.At)
		return past.State, err
	}
	if err := h.view.Await(ctx); err != nil {
		return orderapi.Order{}, err
	}
	o, err := h.view.Get(ctx, req.ID)
	if !errors.Is(err, projection.ErrNotFound) {
		return o, err
	}
	result, err := h.orders.Get(ctx, req.ID)
	return result.State, err
}

func (h handlers) list(ctx context.Context, req orderapi.ListRequest) (orderapi.ListResponse, error) {
	if err := event.CheckID(req.UserID); err != nil {
		return orderapi.ListResponse{}, endpoint.Invalid("the user id is malformed", endpoint.FieldError{Field: "user_id", Message: "is malformed"}).Because(err)
	}
	if err := mayActFor(ctx, req.UserID); err != nil {
		return orderapi.ListResponse{}, err
	}
	if err := h.view.Await(ctx); err != nil {
		return orderapi.ListResponse{}, err
	}
	items, next, err := h.view.List(ctx, byUser+"."+req.UserID, req.Cursor, req.Limit)
	if errors.Is(err, projection.ErrCursor) {
		return orderapi.ListResponse{}, endpoint.Invalid("the cursor is malformed", endpoint.FieldError{Field: "cursor", Message: "is malformed"})
	}
	return orderapi.ListResponse{Items: items, Next: next}, err
}

func (h handlers) history(ctx context.Context, req orderapi.HistoryRequest) (orderapi.HistoryResponse, error) {
	if err := h.maySee(ctx, req.ID); err != nil {
		return orderapi.HistoryResponse{}, err
	}
	events, err := h.orders.History(ctx, req.ID)
	return orderapi.HistoryResponse{Items: events}, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, aggregate.ErrNotFound) {
		return endpoint.NotFound("Order not found", endpoint.FieldError{Field: "id", Message: "Order not found"})
	}
	return err
}
