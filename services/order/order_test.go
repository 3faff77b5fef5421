package order

import (
	"slices"
	"testing"
	"time"

	"github.com/bojanz/currency"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

const orderID = "0193e4c5-7a6b-7c8d-9e0f-112233445566"

func placed() orderapi.Created {
	price, err := currency.NewAmount("19.99", "EUR")
	if err != nil {
		panic(err)
	}
	total, err := price.Mul("2")
	if err != nil {
		panic(err)
	}
	return orderapi.Created{
		OrderID: orderID, UserID: "u-1", TotalAmount: total, Timestamp: at(1),
		Items: []orderapi.Item{{ProductID: "p-1", Quantity: 2, Price: price}},
	}
}

func at(minute int) time.Time { return time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC) }

// fold returns the order after these events.
func fold(given []event.Data) orderapi.Order {
	var o orderapi.Order
	for i, data := range given {
		o = apply(o, event.Event{Type: data.EventType(), Subject: orderID, Version: uint64(i + 1)}, data)
	}
	return o
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	step := func(minute int) orderapi.Transition {
		return orderapi.Transition{OrderID: orderID, Timestamp: at(minute)}
	}
	created := event.Data(placed())
	confirmed, shipped := event.Data(orderapi.Confirmed{Transition: step(2)}), event.Data(orderapi.Shipped{Transition: step(3)})
	delivered, cancelled := event.Data(orderapi.Delivered{Transition: step(4)}), event.Data(orderapi.Cancelled{Transition: step(5)})
	states := []struct {
		status orderapi.Status
		given  []event.Data
		takes  map[string]orderapi.Status // the steps it may take, and where they lead
	}{
		{"", nil, nil},
		{"pending", []event.Data{created}, map[string]orderapi.Status{"order.confirmed": "confirmed", "order.cancelled": "cancelled"}},
		{"confirmed", []event.Data{created, confirmed}, map[string]orderapi.Status{"order.shipped": "shipped", "order.cancelled": "cancelled"}},
		{"shipped", []event.Data{created, confirmed, shipped}, map[string]orderapi.Status{"order.delivered": "delivered"}},
		{"delivered", []event.Data{created, confirmed, shipped, delivered}, nil},
		{"cancelled", []event.Data{created, cancelled}, nil},
		{"cancelled", []event.Data{created, confirmed, cancelled}, nil},
	}
	for _, s := range states {
		o := fold(s.given)
		if o.Status != s.status || o.Version != uint64(len(s.given)) {
			t.Errorf("after %d events the order is %q at version %d, want %q", len(s.given), o.Status, o.Version, s.status)
		}
		for _, when := range []event.Data{confirmed, shipped, delivered, cancelled} {
			then, err := move(o, when)
			to, allowed := s.takes[when.EventType()]
			switch {
			case allowed:
				if err != nil || len(then) != 1 || then[0] != when {
					t.Errorf("%s, then %s: %v, %v", s.status, when.EventType(), then, err)
					continue
				}
				after := fold(slices.Concat(s.given, then))
				if after.Status != to || !after.UpdatedAt.After(o.UpdatedAt) || !after.CreatedAt.Equal(o.CreatedAt) {
					t.Errorf("%s, then %s: %+v", s.status, when.EventType(), after)
				}
			case s.status == "":
				if endpoint.CodeOf(err) != endpoint.CodeNotFound || len(then) > 0 {
					t.Errorf("no order, then %s: %v, %v", when.EventType(), then, err)
				}
			default:
				want := "conflict: an order that is " + string(s.status) + " cannot become " + when.EventType()[len("order."):] + " (status is " + string(s.status) + ")"
				if err == nil || err.Error() != want || endpoint.CodeOf(err) != endpoint.CodeConflict || len(then) > 0 {
					t.Errorf("%s, then %s: %v, %v", s.status, when.EventType(), then, err)
				}
			}
		}
		then, err := place(o, placed())
		if s.status == "" && (err != nil || len(then) != 1) || s.status != "" && (endpoint.CodeOf(err) != endpoint.CodeConflict || len(then) > 0) {
			t.Errorf("%q, then order.created: %v, %v", s.status, then, err)
		}
	}
	if then, err := move(fold([]event.Data{created}), placed()); err == nil {
		t.Errorf("a creation is taken for a step: %v", then)
	}
}

func TestApplyKeepsWhatWasOrdered(t *testing.T) {
	t.Parallel()
	o := fold([]event.Data{placed(), orderapi.Confirmed{Transition: orderapi.Transition{OrderID: orderID, Timestamp: at(9)}}})
	if o.ID != orderID || o.UserID != "u-1" || len(o.Items) != 1 || o.TotalAmount.String() != "39.98 EUR" ||
		!o.CreatedAt.Equal(at(1)) || !o.UpdatedAt.Equal(at(9)) {
		t.Errorf("%+v", o)
	}
}

func TestLapse(t *testing.T) {
	t.Parallel()
	step := orderapi.Transition{OrderID: orderID, Timestamp: at(2)}
	undated := placed()
	undated.Timestamp = time.Time{}
	created, confirmed := event.Data(placed()), event.Data(orderapi.Confirmed{Transition: step})
	shipped, cancelled := event.Data(orderapi.Shipped{Transition: step}), event.Data(orderapi.Cancelled{Transition: step})
	for name, c := range map[string]struct {
		given   []event.Data
		timeout time.Duration
		now     time.Time
		lapses  bool
	}{
		"pending, at its deadline":     {[]event.Data{created}, 10 * time.Minute, at(11), true},
		"pending, long after":          {[]event.Data{created}, 10 * time.Minute, at(59), true},
		"pending, before its deadline": {[]event.Data{created}, 10 * time.Minute, at(11).Add(-1), false},
		"pending, no timeout":          {[]event.Data{created}, 0, at(59), false},
		"pending since nobody knows":   {[]event.Data{undated}, 10 * time.Minute, at(59), false},
		"confirmed":                    {[]event.Data{created, confirmed}, 10 * time.Minute, at(59), false},
		"shipped":                      {[]event.Data{created, confirmed, shipped}, 10 * time.Minute, at(59), false},
		"cancelled":                    {[]event.Data{created, cancelled}, 10 * time.Minute, at(59), false},
		"no such order":                {nil, 10 * time.Minute, at(59), false},
	} {
		then, err := lapse(fold(c.given), c.timeout, c.now)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case !c.lapses:
			if len(then) > 0 {
				t.Errorf("%s: %v", name, then)
			}
		default:
			want := orderapi.Cancelled{Transition: orderapi.Transition{OrderID: orderID, Reason: "not confirmed in time", Timestamp: c.now}}
			if len(then) != 1 || then[0] != event.Data(want) {
				t.Errorf("%s: %v, not %v", name, then, want)
			}
		}
	}
}
