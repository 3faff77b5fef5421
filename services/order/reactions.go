package order

import (
	"context"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

// intake lists what outsiders may publish about orders. Each may come twice: the
// event is the command's Origin and counts once.
func (h handlers) intake() map[string]aggregate.Take {
	return map[string]aggregate.Take{
		orderapi.Created{}.EventType(): h.takeCreated,
		orderapi.Confirmed{}.EventType(): func(ctx context.Context, e event.Event, data event.Data) error {
			return h.takeMove(ctx, e, data, data.(orderapi.Confirmed).Transition)
		},
		orderapi.Shipped{}.EventType(): func(ctx context.Context, e event.Event, data event.Data) error {
			return h.takeMove(ctx, e, data, data.(orderapi.Shipped).Transition)
		},
		orderapi.Delivered{}.EventType(): func(ctx context.Context, e event.Event, data event.Data) error {
			return h.takeMove(ctx, e, data, data.(orderapi.Delivered).Transition)
		},
		orderapi.Cancelled{}.EventType(): func(ctx context.Context, e event.Event, data event.Data) error {
			return h.takeMove(ctx, e, data, data.(orderapi.Cancelled).Transition)
		},
	}
}

func (h handlers) takeCreated(ctx context.Context, e event.Event, data event.Data) error {
	created := data.(orderapi.Created)
	if created.OrderID != e.Subject {
		return errWrongSubject()
	}
	if err := h.users.mustExist(ctx, created.UserID); err != nil {
		return err
	}
	_, err := h.place(ctx, &e, created)
	return err
}

func (h handlers) takeMove(ctx context.Context, e event.Event, data event.Data, t orderapi.Transition) error {
	if t.OrderID != e.Subject {
		return errWrongSubject()
	}
	if len(t.Reason) > 500 {
		return endpoint.Invalid("reason is too long", endpoint.FieldError{Field: "reason", Message: "has more than 500 bytes"})
	}
	_, err := h.move(ctx, t.OrderID, &e, data)
	return err
}

func errWrongSubject() error {
	return endpoint.Invalid("data does not belong to the event's subject", endpoint.FieldError{Field: "order_id", Message: "differs from the subject"})
}
