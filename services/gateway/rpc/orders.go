package rpc

import (
	"context"

	"sluice/pkg/endpoint"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/order/orderapi"
)

// orders is the order service as its .proto has it.
type orders struct {
	create  call[orderapi.CreateRequest, orderapi.Order]
	get     call[orderapi.GetRequest, orderapi.Order]
	list    call[orderapi.ListRequest, orderapi.ListResponse]
	search  call[orderapi.SearchRequest, orderapi.ListResponse]
	confirm call[orderapi.TransitionRequest, orderapi.Order]
	ship    call[orderapi.TransitionRequest, orderapi.Order]
	deliver call[orderapi.TransitionRequest, orderapi.Order]
	cancel  call[orderapi.TransitionRequest, orderapi.Order]
	history call[orderapi.HistoryRequest, orderapi.HistoryResponse]
}

func newOrders(c *endpoint.Caller) orders {
	return orders{
		create: via(c, orderapi.Create), get: via(c, orderapi.Get), list: via(c, orderapi.List), search: via(c, orderapi.Search),
		confirm: via(c, orderapi.Confirm), ship: via(c, orderapi.Ship), deliver: via(c, orderapi.Deliver),
		cancel: via(c, orderapi.Cancel), history: via(c, orderapi.History),
	}
}

// Create calls svc.order.create.
func (s orders) Create(ctx context.Context, req *orderv1.CreateRequest) (*orderv1.CreateResponse, error) {
	wanted, err := createRequest(req)
	if err != nil {
		return nil, err
	}
	o, err := s.create(ctx, wanted)
	return &orderv1.CreateResponse{Order: order(o)}, err
}

// Get calls svc.order.get.
func (s orders) Get(ctx context.Context, req *orderv1.GetRequest) (*orderv1.GetResponse, error) {
	at, err := instant("at", req.GetAt())
	if err != nil {
		return nil, err
	}
	o, err := s.get(ctx, orderapi.GetRequest{ID: req.GetId(), Version: req.GetVersion(), At: at})
	return &orderv1.GetResponse{Order: order(o)}, err
}

// List calls svc.order.list.
func (s orders) List(ctx context.Context, req *orderv1.ListRequest) (*orderv1.ListResponse, error) {
	page, err := s.list(ctx, orderapi.ListRequest{UserID: req.GetUserId(), Limit: int(req.GetLimit()), Cursor: req.GetCursor()})
	return &orderv1.ListResponse{Items: each(page.Items, order), Next: page.Next}, err
}

// Search calls svc.order.search.
func (s orders) Search(ctx context.Context, req *orderv1.SearchRequest) (*orderv1.SearchResponse, error) {
	wanted, err := searchRequest(req)
	if err != nil {
		return nil, err
	}
	page, err := s.search(ctx, wanted)
	return &orderv1.SearchResponse{Items: each(page.Items, order), Next: page.Next}, err
}

// Confirm calls svc.order.confirm.
func (s orders) Confirm(ctx context.Context, req *orderv1.ConfirmRequest) (*orderv1.ConfirmResponse, error) {
	o, err := s.confirm(ctx, orderapi.TransitionRequest{ID: req.GetId(), Reason: req.GetReason()})
	return &orderv1.ConfirmResponse{Order: order(o)}, err
}

// Ship calls svc.order.ship.
func (s orders) Ship(ctx context.Context, req *orderv1.ShipRequest) (*orderv1.ShipResponse, error) {
	o, err := s.ship(ctx, orderapi.TransitionRequest{ID: req.GetId(), Reason: req.GetReason()})
	return &orderv1.ShipResponse{Order: order(o)}, err
}

// Deliver calls svc.order.deliver.
func (s orders) Deliver(ctx context.Context, req *orderv1.DeliverRequest) (*orderv1.DeliverResponse, error) {
	o, err := s.deliver(ctx, orderapi.TransitionRequest{ID: req.GetId(), Reason: req.GetReason()})
	return &orderv1.DeliverResponse{Order: order(o)}, err
}

// Cancel calls svc.order.cancel.
func (s orders) Cancel(ctx context.Context, req *orderv1.CancelRequest) (*orderv1.CancelResponse, error) {
	o, err := s.cancel(ctx, orderapi.TransitionRequest{ID: req.GetId(), Reason: req.GetReason()})
	return &orderv1.CancelResponse{Order: order(o)}, err
}

// History calls svc.order.history.
func (s orders) History(ctx context.Context, req *orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
	h, err := s.history(ctx, orderapi.HistoryRequest{ID: req.GetId()})
	return &orderv1.HistoryResponse{Items: each(h.Items, historic)}, err
}
