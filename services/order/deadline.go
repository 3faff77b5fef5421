package order

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

// deadlines cancels orders that stay pending for too long. Timers bring it up; the
// order's history and the timeout as it is now decide. So it does not matter when a
// timer comes twice, comes too early, is forged, or was set under another timeout.
//
// Its groups run without a timeout too. So what is switched on holds for orders placed
// from then on, and not for all that were ever left pending.
type deadlines struct {
	orders  *aggregate.Aggregates[orderapi.Order]
	js      jetstream.JetStream
	timeout time.Duration // 0: no order is cancelled, and timers that are left do nothing
}

// orderCreated sets the order's timer. It may run twice: the order has one timer, and
// its time and its id follow from the order.
func (d deadlines) orderCreated(ctx context.Context, e event.Of[orderapi.Created]) error {
	return d.set(ctx, e.Subject, deadline(e.Data.Timestamp, d.timeout))
}

// orderConfirmed takes the order's timer away, which nobody needs any more. It may
// run twice: what is gone is gone.
func (d deadlines) orderConfirmed(ctx context.Context, e event.Of[orderapi.Confirmed]) error {
	return d.clear(ctx, e.Subject)
}

// orderCancelled does what orderConfirmed does.
func (d deadlines) orderCancelled(ctx context.Context, e event.Of[orderapi.Cancelled]) error {
	return d.clear(ctx, e.Subject)
}

// orderLapsed cancels the order if it is pending and its time is over. It may run
// twice: then the order is cancelled already. A timer that comes too early is set
// again; it may have come instead of the right one.
func (d deadlines) orderLapsed(ctx context.Context, e event.Of[orderapi.Lapsed]) error {
	if d.timeout == 0 {
		return nil
	}
	now := time.Now().UTC()
	result, err := d.orders.Do(ctx, aggregate.Command[orderapi.Order]{
		ID:     e.Subject,
		Decide: func(o orderapi.Order) ([]event.Data, error) { return lapse(o, d.timeout, now) },
	})
	if errors.Is(err, aggregate.ErrKeyReused) {
		return bus.Drop(err) // not a timer of ours: it has a command's id
	}
	if err != nil || result.State.Status != orderapi.StatusPending {
		return err
	}
	return d.set(ctx, result.State.ID, deadline(result.State.CreatedAt, d.timeout))
}

func (d deadlines) set(ctx context.Context, id string, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	e, err := orderapi.Timers.New(ctx, id, orderapi.Lapsed{OrderID: id, Timestamp: at})
	if err != nil {
		return bus.Drop(err)
	}
	e.ID = event.DeriveID(e.Type, id)
	err = bus.At(ctx, d.js, at, e)
	if errors.Is(err, bus.ErrTimerRange) {
		return bus.Drop(err) // placed in another millennium, somebody says
	}
	return err
}

func (d deadlines) clear(ctx context.Context, id string) error {
	if d.timeout == 0 {
		return nil
	}
	return bus.CancelTimer(ctx, d.js, orderapi.Timers.Entity(), id)
}
