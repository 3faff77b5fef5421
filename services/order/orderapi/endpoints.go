package orderapi

import (
	"time"

	"github.com/bojanz/currency"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// The endpoints of the order service.
var (
	Create = endpoint.Method[CreateRequest, Order]{
		Service: "order", Name: "create", HTTP: "POST /v1/orders", Location: "/v1/orders/{id}", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Places an order for a user; it is pending then.",
	}
	Get = endpoint.Method[GetRequest, Order]{
		Service: "order", Name: "get", HTTP: "GET /v1/orders/{id}", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Returns one order, as it is or as it was at a version or a time.",
	}
	List = endpoint.Method[ListRequest, ListResponse]{
		Service: "order", Name: "list", HTTP: "GET /v1/users/{user_id}/orders", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Lists the orders of one user, the newest first, page by page.",
	}
	Search = endpoint.Method[SearchRequest, ListResponse]{
		Service: "order", Name: "search", HTTP: "GET /v1/orders", Idempotent: true, Auth: endpoint.Operator,
		Description: "Finds orders by status, user, time and total, the newest first, page by page.",
	}
	Export = endpoint.Stream[ExportRequest, Order]{
		Service: "order", Name: "export", HTTP: "GET /v1/orders/export", Auth: endpoint.Operator,
		Description: "Returns all orders that fit, the newest first, one a line.",
	}
	Confirm = endpoint.Method[TransitionRequest, Order]{
		Service: "order", Name: "confirm", HTTP: "POST /v1/orders/{id}/confirm", Idempotent: true, Auth: endpoint.Operator,
		Description: "Accepts a pending order.",
	}
	Ship = endpoint.Method[TransitionRequest, Order]{
		Service: "order", Name: "ship", HTTP: "POST /v1/orders/{id}/ship", Idempotent: true, Auth: endpoint.Operator,
		Description: "Says that a confirmed order left the house.",
	}
	Deliver = endpoint.Method[TransitionRequest, Order]{
		Service: "order", Name: "deliver", HTTP: "POST /v1/orders/{id}/deliver", Idempotent: true, Auth: endpoint.Operator,
		Description: "Says that a shipped order arrived.",
	}
	Cancel = endpoint.Method[TransitionRequest, Order]{
		Service: "order", Name: "cancel", HTTP: "POST /v1/orders/{id}/cancel", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Calls off a pending or confirmed order.",
	}
	History = endpoint.Method[HistoryRequest, HistoryResponse]{
		Service: "order", Name: "history", HTTP: "GET /v1/orders/{id}/history", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Returns every event of one order, the oldest first.",
	}
)

// Routes are the specs of all endpoints.
var Routes = []endpoint.Spec{
	Create.Spec(), Get.Spec(), List.Spec(), Search.Spec(), Export.Spec(), Confirm.Spec(), Ship.Spec(), Deliver.Spec(), Cancel.Spec(), History.Spec(),
}

// Status is where an order is in its life.
type Status string

// The statuses of an order.
const (
	StatusPending   Status = "pending"
	StatusConfirmed Status = "confirmed"
	StatusShipped   Status = "shipped"
	StatusDelivered Status = "delivered"
	StatusCancelled Status = "cancelled"
)

// Order is an order as others see it.
type Order struct {
	ID          string          `json:"id"`
	UserID      string          `json:"user_id"`
	Items       []Item          `json:"items"`
	TotalAmount currency.Amount `json:"total_amount"`
	Status      Status          `json:"status"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Version     uint64          `json:"version"`
}

// CreateRequest asks for a new order.
type CreateRequest struct {
	UserID string `json:"user_id" validate:"required,max=128"`
	Items  []Item `json:"items" validate:"required,min=1,max=1000,dive"`
}

// Validate checks what the tags can't say.
func (r CreateRequest) Validate() []endpoint.FieldError {
	_, wrong := Total(r.Items)
	return wrong
}

// GetRequest asks for one order: as it is, or as it was. Version and At exclude each
// other.
type GetRequest struct {
	ID      string    `json:"id" validate:"required,max=128"`
	Version uint64    `json:"version,omitzero"` // right after that event, from 1
	At      time.Time `json:"at,omitzero"`      // with all that had happened by then
}

// Validate checks what the tags can't say.
func (r GetRequest) Validate() []endpoint.FieldError {
	if r.Version > 0 && !r.At.IsZero() {
		return []endpoint.FieldError{{Field: "at", Message: "excludes version"}}
	}
	return nil
}

// HistoryRequest asks for every event of one order.
type HistoryRequest struct {
	ID string `json:"id" validate:"required,max=128"`
}

// ListRequest asks for a page of one user's orders.
type ListRequest struct {
	UserID string `json:"user_id" validate:"required,max=128"`
	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the page before
}

// ListResponse is a page of orders.
type ListResponse struct {
	Items []Order `json:"items"`
	Next  string  `json:"next,omitempty"` // the cursor of the next page, absent on the last
}

// TransitionRequest moves an order on.
type TransitionRequest struct {
	ID     string `json:"id" validate:"required,max=128"`
	Reason string `json:"reason,omitempty" validate:"max=500"`
}

// HistoryResponse is the whole history of an order.
type HistoryResponse struct {
	Items []event.Event `json:"items"`
}
