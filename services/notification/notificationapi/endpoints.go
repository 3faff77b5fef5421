package notificationapi

import (
	"time"

	"sluice/pkg/endpoint"
)

// List is the endpoint of the notification service.
var List = endpoint.Method[ListRequest, ListResponse]{
	Service: "notification", Name: "list", HTTP: "GET /v1/notifications", Idempotent: true, Auth: endpoint.Operator,
	Description: "Lists what was sent, or could not be, the newest first, page by page.",
}

// Routes are the specs of all endpoints.
var Routes = []endpoint.Spec{List.Spec()}

// Status is what became of a notification.
type Status string

// The statuses of a notification.
const (
	StatusSent   Status = "sent"
	StatusFailed Status = "failed"
)

// Notification is a notification as others see it.
type Notification struct {
	ID        string    `json:"id"`
	UserID    string    `json:"user_id,omitempty"` // absent when it went to an operator
	OrderID   string    `json:"order_id,omitempty"`
	AlertID   string    `json:"alert_id,omitempty"`
	Kind      Kind      `json:"kind"`
	Status    Status    `json:"status"`
	EventID   string    `json:"event_id"` // the event that asked for it
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   uint64    `json:"version"`
}

// ListRequest asks for a page of notifications, of one user when UserID is given.
type ListRequest struct {
	UserID string `json:"user_id,omitempty" validate:"max=128"`
	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the page before
}

// ListResponse is a page of notifications.
type ListResponse struct {
	Items []Notification `json:"items"`
	Next  string         `json:"next,omitempty"` // the cursor of the next page, absent on the last
}
