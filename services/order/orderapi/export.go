package orderapi

import (
	"time"

	"sluice/pkg/endpoint"
)

// ExportRequest asks for all orders that fit, the newest first. Its members are those of
// [SearchRequest].
type ExportRequest struct {
	Status   Status    `json:"status,omitempty"`
	UserID   string    `json:"user_id,omitempty"`
	From     time.Time `json:"from,omitzero"`       // placed then or later
	To       time.Time `json:"to,omitzero"`         // placed before then
	MinTotal string    `json:"min_total,omitempty"` // this or more
	MaxTotal string    `json:"max_total,omitempty"` // this or less
	Currency string    `json:"currency,omitempty"`  // of the total, "EUR"
}

// Search returns the search that finds the same orders.
func (r ExportRequest) Search() SearchRequest {
	return SearchRequest{
		Status: r.Status, UserID: r.UserID, From: r.From, To: r.To,
		MinTotal: r.MinTotal, MaxTotal: r.MaxTotal, Currency: r.Currency,
	}
}

// Validate checks what the tags can't say.
func (r ExportRequest) Validate() []endpoint.FieldError { return r.Search().Validate() }
