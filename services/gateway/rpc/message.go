package rpc

import (
	"fmt"
	"regexp"
	"time"

	"github.com/bojanz/currency"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/order/orderapi"
)

// each returns what convert makes of each of items.
func each[From, To any](items []From, convert func(From) To) []To {
	converted := make([]To, len(items))
	for i, item := range items {
		converted[i] = convert(item)
	}
	return converted
}

// timestamp is absent for no time at all.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// instant is no time at all for an absent timestamp.
func instant(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if !t.IsValid() {
		return time.Time{}, invalid(field, "is not a time of the years 1 to 9999")
	}
	return t.AsTime(), nil
}

func order(o orderapi.Order) *orderv1.Order {
	return &orderv1.Order{
		Id: o.ID, UserId: o.UserID, Items: each(o.Items, line), TotalAmount: money(o.TotalAmount), Status: orderStatus(o.Status),
		CreatedAt: timestamp(o.CreatedAt), UpdatedAt: timestamp(o.UpdatedAt), Version: o.Version,
	}
}

func line(i orderapi.Item) *orderv1.Item {
	return &orderv1.Item{ProductId: i.ProductID, Quantity: i.Quantity, Price: money(i.Price)}
}

func money(a currency.Amount) *orderv1.Money {
	return &orderv1.Money{Number: a.Number(), Currency: a.CurrencyCode()}
}

func orderStatus(s orderapi.Status) orderv1.OrderStatus {
	switch s {
	case orderapi.StatusPending:
		return orderv1.OrderStatus_ORDER_STATUS_PENDING
	case orderapi.StatusConfirmed:
		return orderv1.OrderStatus_ORDER_STATUS_CONFIRMED
	case orderapi.StatusShipped:
		return orderv1.OrderStatus_ORDER_STATUS_SHIPPED
	case orderapi.StatusDelivered:
		return orderv1.OrderStatus_ORDER_STATUS_DELIVERED
	case orderapi.StatusCancelled:
		return orderv1.OrderStatus_ORDER_STATUS_CANCELLED
	default:
		return orderv1.OrderStatus_ORDER_STATUS_UNSPECIFIED
	}
}

// soughtStatus is empty for what is not specified.
func soughtStatus(s orderv1.OrderStatus) (orderapi.Status, error) {
	switch s {
	case orderv1.OrderStatus_ORDER_STATUS_UNSPECIFIED:
		return "", nil
	case orderv1.OrderStatus_ORDER_STATUS_PENDING:
		return orderapi.StatusPending, nil
	case orderv1.OrderStatus_ORDER_STATUS_CONFIRMED:
		return orderapi.StatusConfirmed, nil
	case orderv1.OrderStatus_ORDER_STATUS_SHIPPED:
		return orderapi.StatusShipped, nil
	case orderv1.OrderStatus_ORDER_STATUS_DELIVERED:
		return orderapi.StatusDelivered, nil
	case orderv1.OrderStatus_ORDER_STATUS_CANCELLED:
		return orderapi.StatusCancelled, nil
	default:
		return "", invalid("status", "is not known")
	}
}

func historic(e event.Event) *orderv1.Event {
	return &orderv1.Event{
		Id: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: timestamp(e.Time),
		DataSchema: e.DataSchema, DataContentType: e.DataContentType, Data: string(e.Data),
		CorrelationId: e.CorrelationID, CausationId: e.CausationID, UserId: e.UserID,
		AggregateVersion: e.Version, Position: e.Sequence, TraceParent: e.TraceParent,
	}
}

func createRequest(req *orderv1.CreateRequest) (orderapi.CreateRequest, error) {
	items := make([]orderapi.Item, len(req.GetItems()))
	var wrong []endpoint.FieldError
	for i, item := range req.GetItems() {
		price, message := amount(item.GetPrice())
		if message != "" {
			wrong = append(wrong, endpoint.FieldError{Field: fmt.Sprintf("items[%d].price", i), Message: message})
		}
		items[i] = orderapi.Item{ProductID: item.GetProductId(), Quantity: item.GetQuantity(), Price: price}
	}
	if len(wrong) > 0 {
		return orderapi.CreateRequest{}, endpoint.Invalid("the items are not acceptable", wrong...)
	}
	return orderapi.CreateRequest{UserID: req.GetUserId(), Items: items}, nil
}

// numberPattern is how an endpoint takes a sum of money.
var numberPattern = regexp.MustCompile(`^-?[0-9]{1,24}(\.[0-9]{1,12})?$`)

// amount returns m, or what is wrong with it.
func amount(m *orderv1.Money) (a currency.Amount, wrong string) {
	if m == nil {
		return a, "is required"
	}
	a, err := currency.NewAmount(m.GetNumber(), m.GetCurrency())
	if err != nil || !numberPattern.MatchString(m.GetNumber()) {
		return a, `must be an amount like {"number":"19.99","currency":"EUR"}`
	}
	return a, ""
}

func searchRequest(req *orderv1.SearchRequest) (orderapi.SearchRequest, error) {
	sought, err := soughtStatus(req.GetStatus())
	if err != nil {
		return orderapi.SearchRequest{}, err
	}
	from, err := instant("from", req.GetFrom())
	if err != nil {
		return orderapi.SearchRequest{}, err
	}
	to, err := instant("to", req.GetTo())
	if err != nil {
		return orderapi.SearchRequest{}, err
	}
	return orderapi.SearchRequest{
		Status: sought, UserID: req.GetUserId(), From: from, To: to,
		MinTotal: req.GetMinTotal(), MaxTotal: req.GetMaxTotal(), Currency: req.GetCurrency(),
		Limit: int(req.GetLimit()), Cursor: req.GetCursor(),
	}, nil
}
