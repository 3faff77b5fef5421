package registryapi

import (
	"errors"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// AlertEvents are the types in the history of alerts. A history is that of one kind of
// trouble with one subject: it is raised, and resolved, by turns.
var AlertEvents = event.NewRegistry("alert",
	event.Define[AlertRaised](1),
	event.Define[AlertResolved](1),
)

// Alerts is the endpoint that tells what is wrong now.
var Alerts = endpoint.Method[AlertsRequest, AlertsResponse]{
	Service: "registry", Name: "alerts", HTTP: "GET /v1/alerts", Idempotent: true, Auth: endpoint.Operator,
	Description: "Lists the alerts that are raised now, the newest first, page by page.",
}

// AlertKind says which kind of trouble an alert is about.
type AlertKind string

// The kinds of alerts, each with what its subject is.
const (
	AlertUnhealthy    AlertKind = "unhealthy"      // a service, one of whose instances is unhealthy, or one that must run and does not
	AlertDeadLetters  AlertKind = "dead_letters"   // a consumer that has too many dead letters
	AlertLag          AlertKind = "lag"            // a consumer that is too far behind its stream
	AlertReadModelLag AlertKind = "read_model_lag" // a read model that is, "order/orders": the service, and its name there
)

// AlertID returns the id of the alert of one kind about one subject: there is one.
func AlertID(kind AlertKind, subject string) string {
	return event.DeriveID("alert", string(kind), subject)
}

// AboutAlert is what every event of an alert says.
type AboutAlert struct {
	AlertID   string    `json:"alert_id"`
	Kind      AlertKind `json:"kind"`
	Subject   string    `json:"subject"`
	Reason    string    `json:"reason"` // in words, such as "3 dead letters, more than 0"
	Timestamp time.Time `json:"timestamp"`
}

// AggregateID returns the alert's id.
func (a AboutAlert) AggregateID() string { return a.AlertID }

// OccurredAt returns when it was raised or resolved.
func (a AboutAlert) OccurredAt() time.Time { return a.Timestamp }

// Validate checks what every reader relies on.
func (a AboutAlert) Validate() error {
	if a.AlertID == "" || a.Kind == "" || a.Subject == "" {
		return errors.New("alert_id, kind and subject are required")
	}
	return nil
}

// AlertRaised says that something has been wrong for as long as it may be.
type AlertRaised struct {
	AboutAlert

	Since time.Time `json:"since"` // when the registry first saw it so
}

// EventType returns the wire name.
func (AlertRaised) EventType() string { return "alert.raised" }

// AlertResolved says that it is over, and has been for as long.
type AlertResolved struct {
	AboutAlert

	RaisedAt time.Time `json:"raised_at"`
}

// EventType returns the wire name.
func (AlertResolved) EventType() string { return "alert.resolved" }

// Alert is an alert that is raised, as others see it.
type Alert struct {
	ID       string    `json:"id"`
	Kind     AlertKind `json:"kind"`
	Subject  string    `json:"subject"`
	Reason   string    `json:"reason"` // as of when it was raised
	Since    time.Time `json:"since"`
	RaisedAt time.Time `json:"raised_at,omitzero"` // absent once it is resolved
	Version  uint64    `json:"version"`
}

// AlertsRequest asks for a page of alerts.
type AlertsRequest struct {
	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the page before
}

// AlertsResponse is a page of alerts.
type AlertsResponse struct {
	Items []Alert `json:"items"`
	Next  string  `json:"next,omitempty"` // the cursor of the next page, absent on the last
}
