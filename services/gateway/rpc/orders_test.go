package rpc_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/bojanz/currency"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/gateway/rpc"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	"sluice/services/order/orderapi"
)

func amount(t *testing.T, number, code string) currency.Amount {
	t.Helper()
	a, err := currency.NewAmount(number, code)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func euro(number string) *orderv1.Money { return &orderv1.Money{Number: number, Currency: "EUR"} }

var placed = time.Date(2026, 11, 23, 5, 6, 7, 890, time.UTC)

// sample is an order inside and outside.
func sample(t *testing.T) (orderapi.Order, *orderv1.Order) {
	t.Helper()
	in := orderapi.Order{
		ID: "o-1", UserID: "u-ada", Status: orderapi.StatusShipped, Version: 3, CreatedAt: placed, UpdatedAt: placed.Add(time.Hour),
		Items: []orderapi.Item{
			{ProductID: "p-1", Quantity: 2, Price: amount(t, "19.99", "EUR")},
			{ProductID: "p-2", Quantity: 1_000_000, Price: amount(t, "0.000001", "EUR")},
		},
		TotalAmount: amount(t, "40.980000", "EUR"),
	}
	out := &orderv1.Order{
		Id: "o-1", UserId: "u-ada", Status: orderv1.OrderStatus_ORDER_STATUS_SHIPPED, Version: 3,
		CreatedAt: timestamppb.New(placed), UpdatedAt: timestamppb.New(placed.Add(time.Hour)),
		Items: []*orderv1.Item{
			{ProductId: "p-1", Quantity: 2, Price: euro("19.99")},
			{ProductId: "p-2", Quantity: 1_000_000, Price: euro("0.000001")},
		},
		TotalAmount: euro("40.980000"),
	}
	return in, out
}

func TestOrders(t *testing.T) {
	t.Parallel()
	in, out := sample(t)
	transition := orderapi.TransitionRequest{ID: "o-1", Reason: "why not"}
	w := start(t, rpc.Config{})
	w.serve(t, "order",
		answers(t, orderapi.Create, orderapi.CreateRequest{UserID: "u-ada", Items: in.Items}, in),
		answers(t, orderapi.List, orderapi.ListRequest{UserID: "u-ada", Limit: 2, Cursor: "c-1"},
			orderapi.ListResponse{Items: []orderapi.Order{in, in}, Next: "c-2"}),
		answers(t, orderapi.Search, orderapi.SearchRequest{
			Status: orderapi.StatusCancelled, UserID: "u-ada", From: placed, To: placed.Add(1),
			MinTotal: "1.5", MaxTotal: "20", Currency: "EUR", Limit: 3, Cursor: "c-3",
		}, orderapi.ListResponse{Items: []orderapi.Order{in}}),
		answers(t, orderapi.Confirm, transition, in), answers(t, orderapi.Ship, transition, in),
		answers(t, orderapi.Deliver, transition, in), answers(t, orderapi.Cancel, transition, in))

	w.ask(t, ada, orderv1connect.OrderServiceCreateProcedure,
		&orderv1.CreateRequest{UserId: "u-ada", Items: out.GetItems()}, &orderv1.CreateResponse{Order: out})
	w.ask(t, ada, orderv1connect.OrderServiceListProcedure,
		&orderv1.ListRequest{UserId: "u-ada", Limit: 2, Cursor: "c-1"}, &orderv1.ListResponse{Items: []*orderv1.Order{out, out}, Next: "c-2"})
	w.ask(t, olga, orderv1connect.OrderServiceSearchProcedure, &orderv1.SearchRequest{
		Status: orderv1.OrderStatus_ORDER_STATUS_CANCELLED, UserId: "u-ada", From: timestamppb.New(placed), To: timestamppb.New(placed.Add(1)),
		MinTotal: "1.5", MaxTotal: "20", Currency: "EUR", Limit: 3, Cursor: "c-3",
	}, &orderv1.SearchResponse{Items: []*orderv1.Order{out}})
	w.ask(t, olga, orderv1connect.OrderServiceConfirmProcedure,
		&orderv1.ConfirmRequest{Id: "o-1", Reason: "why not"}, &orderv1.ConfirmResponse{Order: out})
	w.ask(t, olga, orderv1connect.OrderServiceShipProcedure,
		&orderv1.ShipRequest{Id: "o-1", Reason: "why not"}, &orderv1.ShipResponse{Order: out})
	w.ask(t, olga, orderv1connect.OrderServiceDeliverProcedure,
		&orderv1.DeliverRequest{Id: "o-1", Reason: "why not"}, &orderv1.DeliverResponse{Order: out})
	w.ask(t, ada, orderv1connect.OrderServiceCancelProcedure,
		&orderv1.CancelRequest{Id: "o-1", Reason: "why not"}, &orderv1.CancelResponse{Order: out})
}

// The past of an order is asked for by version or by time, and every status has its name.
func TestOrderGet(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{})
	w.serve(t, "order", endpoint.Handle(orderapi.Get, func(_ context.Context, req orderapi.GetRequest) (orderapi.Order, error) {
		return orderapi.Order{
			ID: req.ID, Version: req.Version, UpdatedAt: req.At, Status: orderapi.Status(req.ID), TotalAmount: amount(t, "1", "EUR"),
		}, nil
	}))
	for id, status := range map[string]orderv1.OrderStatus{
		"pending": 1, "confirmed": 2, "shipped": 3, "delivered": 4, "cancelled": 5, "eaten": 0,
	} {
		w.ask(t, ada, orderv1connect.OrderServiceGetProcedure, &orderv1.GetRequest{Id: id},
			&orderv1.GetResponse{Order: &orderv1.Order{Id: id, Status: status, TotalAmount: euro("1")}})
	}
	w.ask(t, ada, orderv1connect.OrderServiceGetProcedure,
		&orderv1.GetRequest{Id: "x", Past: &orderv1.GetRequest_Version{Version: 7}},
		&orderv1.GetResponse{Order: &orderv1.Order{Id: "x", Version: 7, TotalAmount: euro("1")}})
	w.ask(t, ada, orderv1connect.OrderServiceGetProcedure,
		&orderv1.GetRequest{Id: "x", Past: &orderv1.GetRequest_At{At: timestamppb.New(placed)}},
		&orderv1.GetResponse{Order: &orderv1.Order{Id: "x", UpdatedAt: timestamppb.New(placed), TotalAmount: euro("1")}})
}

// Every status can be searched for.
func TestOrderSearchStatus(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{})
	w.serve(t, "order", endpoint.Handle(orderapi.Search, func(_ context.Context, req orderapi.SearchRequest) (orderapi.ListResponse, error) {
		return orderapi.ListResponse{Next: string(req.Status)}, nil
	}))
	for i, status := range []string{"", "pending", "confirmed", "shipped", "delivered", "cancelled"} {
		w.ask(t, olga, orderv1connect.OrderServiceSearchProcedure,
			&orderv1.SearchRequest{Status: orderv1.OrderStatus(i)}, &orderv1.SearchResponse{Next: status})
	}
}

func TestOrderHistory(t *testing.T) {
	t.Parallel()
	md := event.Metadata{CorrelationID: "c-1", CausationID: "m-1", UserID: "u-ada"}
	confirmed, err := orderapi.Events.New(event.WithMetadata(t.Context(), md), "o-1",
		orderapi.Confirmed{Transition: orderapi.Transition{OrderID: "o-1", Reason: "paid", Timestamp: placed}})
	if err != nil {
		t.Fatal(err)
	}
	confirmed.Version, confirmed.Previous, confirmed.Step, confirmed.Sequence = 2, []uint64{41}, 1, 42
	confirmed.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w := start(t, rpc.Config{})
	w.serve(t, "order", answers(t, orderapi.History, orderapi.HistoryRequest{ID: "o-1"}, orderapi.HistoryResponse{Items: slices.Repeat([]event.Event{confirmed}, 2)}))
	e := &orderv1.Event{
		Id: confirmed.ID, Source: "/services/order", Type: "order.confirmed", Subject: "o-1", Time: timestamppb.New(confirmed.Time),
		DataSchema: confirmed.DataSchema, DataContentType: "application/json",
		Data:          `{"order_id":"o-1","reason":"paid","timestamp":"2026-11-23T05:06:07.00000089Z"}`,
		CorrelationId: "c-1", CausationId: "m-1", UserId: "u-ada", AggregateVersion: 2, Position: 42, TraceParent: confirmed.TraceParent,
	}
	w.ask(t, ada, orderv1connect.OrderServiceHistoryProcedure, &orderv1.HistoryRequest{Id: "o-1"}, &orderv1.HistoryResponse{Items: []*orderv1.Event{e, e}})
}
