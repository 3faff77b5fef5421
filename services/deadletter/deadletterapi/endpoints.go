// Package deadletterapi is what others may know of the dead letter service: its
// endpoints, and what a dead letter looks like from outside.
package deadletterapi

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/endpoint"
)

// The endpoints of the dead letter service. Letters hold whatever the messages held, so
// they are for administrators.
var (
	List = endpoint.Method[ListRequest, ListResponse]{
		Service: "deadletter", Name: "list", HTTP: "GET /v1/dead-letters", Idempotent: true, Auth: endpoint.Admin,
		Description: "Lists what handlers gave up on, what failed last first, page by page.",
	}
	Get = endpoint.Method[GetRequest, Letter]{
		Service: "deadletter", Name: "get", HTTP: "GET /v1/dead-letters/{id}", Idempotent: true, Auth: endpoint.Admin,
		Description: "Returns one dead letter.",
	}
	Redrive = endpoint.Method[RedriveRequest, RedriveResponse]{
		Service: "deadletter", Name: "redrive", HTTP: "POST /v1/dead-letters/{id}/redrive", Idempotent: true, Auth: endpoint.Admin,
		Description: "Has the consumer of a dead letter handle its message anew.",
	}
	RedriveAll = endpoint.Method[RedriveAllRequest, RedriveAllResponse]{
		Service: "deadletter", Name: "redrive-all", HTTP: "POST /v1/dead-letters/redrive", Idempotent: true, Auth: endpoint.Admin,
		Description: "Redrives the dead letters that fit, in the order of their messages, up to a number of them.",
	}
	Discard = endpoint.Method[DiscardRequest, DiscardResponse]{
		Service: "deadletter", Name: "discard", HTTP: "DELETE /v1/dead-letters/{id}", Idempotent: true, Auth: endpoint.Admin,
		Description: "Deletes a dead letter and overwrites it on disk.",
	}
)

// Routes are the specs of all endpoints.
var Routes = []endpoint.Spec{List.Spec(), Get.Spec(), Redrive.Spec(), RedriveAll.Spec(), Discard.Spec()}

// Letter is a dead letter as others see it: a message that was given up, and why.
type Letter struct {
	ID        string         `json:"id"`
	Consumer  string         `json:"consumer"` // the group that gave up
	Reason    string         `json:"reason"`   // dropped, attempts, undecodable, foreign, …
	Error     string         `json:"error"`    // what the last attempt said
	Attempts  int            `json:"attempts"` // all of them
	Stream    string         `json:"stream"`   // where the message lay
	Sequence  uint64         `json:"sequence"`
	Subject   string         `json:"subject"`
	FirstAt   time.Time      `json:"first_at"`              // the first failure
	LastAt    time.Time      `json:"last_at"`               // the latest
	Redrives  int            `json:"redrives,omitzero"`     // times it was redriven and failed again
	Earlier   []Failure      `json:"earlier,omitempty"`     // how it failed before the last redrive, the oldest first
	Truncated string         `json:"truncated,omitempty"`   // what the letter had to leave out: headers or data
	Position  uint64         `json:"position"`              // its sequence in the stream DEADLETTERS
	Headers   Headers        `json:"headers,omitempty"`     // of the message
	Size      int            `json:"data_size"`             // bytes of the message's data
	Data      jsontext.Value `json:"data,omitzero"`         // as it is when it is JSON, else as a string when it is text
	Binary    string         `json:"data_base64,omitempty"` // else
}

// Headers are the headers of a message; bytes that are no text are replaced.
type Headers map[string][]string

// Failure is what a letter said before a redrive.
type Failure struct {
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"` // all up to then
}

// Filter chooses dead letters; what is absent chooses all.
type Filter struct {
	Consumer string    `json:"consumer,omitempty" validate:"max=128"`
	Type     string    `json:"type,omitempty" validate:"max=128"` // order.created: the event's type, else the first two tokens of the subject
	Reason   string    `json:"reason,omitempty" validate:"max=128"`
	From     time.Time `json:"from,omitzero"` // the latest failure was then or later
	To       time.Time `json:"to,omitzero"`   // the latest failure was earlier
}

func (f Filter) validate() []endpoint.FieldError {
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return []endpoint.FieldError{{Field: "to", Message: "must be after from"}}
	}
	return nil
}

// ListRequest asks for a page of dead letters.
type ListRequest struct {
	Filter `json:",inline"`

	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50
	Cursor string `json:"cursor,omitempty" validate:"max=32"`       // next of the page before
}

// Validate checks what the tags can't say.
func (r ListRequest) Validate() []endpoint.FieldError { return r.validate() }

// ListResponse is a page of dead letters. A page of large ones may end before its limit.
type ListResponse struct {
	Items []Letter `json:"items"`
	Next  string   `json:"next,omitempty"` // the cursor of the next page, absent on the last
}

// GetRequest asks for one dead letter.
type GetRequest struct {
	ID string `json:"id" validate:"required,max=128"`
}

// RedriveRequest asks to handle the message of one dead letter anew.
type RedriveRequest struct {
	ID string `json:"id" validate:"required,max=128"`
}

// RedriveResponse names the letter that is being redriven and the consumer that has
// the message now. The letter is gone once the message is handled; if that fails
// again, it is renewed under the same id.
type RedriveResponse struct {
	ID       string `json:"id"`
	Consumer string `json:"consumer"`
}

// RedriveAllRequest asks to redrive all dead letters that fit.
type RedriveAllRequest struct {
	Filter `json:",inline"`

	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 100
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the call before
}

// Validate checks what the tags can't say.
func (r RedriveAllRequest) Validate() []endpoint.FieldError { return r.validate() }

// RedriveAllResponse says what became of the letters.
type RedriveAllResponse struct {
	Redriven int       `json:"redriven"`
	Skipped  []Skipped `json:"skipped"`
	Next     string    `json:"next,omitempty"` // the cursor for the letters that are left, absent when there are none
}

// Skipped is a letter that cannot be redriven, and why.
type Skipped struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// DiscardRequest asks to delete one dead letter.
type DiscardRequest struct {
	ID string `json:"id" validate:"required,max=128"`
}

// DiscardResponse names the letter that is gone.
type DiscardResponse struct {
	ID string `json:"id"`
}
