package orderapi

import (
	"strings"
	"time"

	"github.com/bojanz/currency"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// No total has more digits than these: see the limits of [Total].
const (
	maxTotalWhole    = 27
	maxTotalFraction = maxFraction
)

// SearchRequest asks for a page of orders, the newest first. Members narrow the
// search together; what is absent or empty does not narrow it.
//
// MinTotal and MaxTotal are plain decimals such as "19.99", in Currency and compared
// exactly; amounts of different currencies have no order, so these two need it.
//
// A cursor continues a search from where its page ended and is refused by a search
// for something else; only the limit may change. New orders come before the first
// page, so paging on meets each order once. An order whose status changes meanwhile
// is found or not by the status it has when its page is read.
type SearchRequest struct {
	Status   Status    `json:"status,omitempty"`
	UserID   string    `json:"user_id,omitempty"`
	From     time.Time `json:"from,omitzero"`       // placed then or later
	To       time.Time `json:"to,omitzero"`         // placed before then
	MinTotal string    `json:"min_total,omitempty"` // this or more
	MaxTotal string    `json:"max_total,omitempty"` // this or less
	Currency string    `json:"currency,omitempty"`  // of the total, "EUR"

	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50; a page ends early at 512 KiB
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the page before
}

// Validate checks what the tags can't say.
func (r SearchRequest) Validate() []endpoint.FieldError {
	var wrong []endpoint.FieldError
	refuse := func(field, message string) {
		wrong = append(wrong, endpoint.FieldError{Field: field, Message: message})
	}
	switch r.Status {
	case "", StatusPending, StatusConfirmed, StatusShipped, StatusDelivered, StatusCancelled:
	default:
		refuse("status", "must be one of pending, confirmed, shipped, delivered, cancelled")
	}
	if r.UserID != "" && event.CheckID(r.UserID) != nil {
		refuse("user_id", "is malformed")
	}
	if !r.From.IsZero() && !r.To.IsZero() && r.To.Before(r.From) {
		refuse("to", "must not be before from")
	}
	for _, total := range []struct{ field, number string }{{"min_total", r.MinTotal}, {"max_total", r.MaxTotal}} {
		if message := checkTotal(total.number); total.number != "" && message != "" {
			refuse(total.field, message)
		}
	}
	switch {
	case r.Currency != "" && !currency.IsValid(r.Currency):
		refuse("currency", `is not a currency code like "EUR"`)
	case r.Currency == "" && (r.MinTotal != "" || r.MaxTotal != ""):
		refuse("currency", "is required with min_total and max_total")
	}
	if len(wrong) == 0 && r.MinTotal != "" && r.MaxTotal != "" && isLess(r.MaxTotal, r.MinTotal, r.Currency) {
		refuse("max_total", "must not be less than min_total")
	}
	return wrong
}

// checkTotal returns what is wrong with a bound of the total, nothing when it is fine.
func checkTotal(number string) (message string) {
	if strings.HasPrefix(number, "-") {
		return "must not be negative"
	}
	whole, fraction, point := strings.Cut(number, ".")
	switch {
	case whole == "", point && fraction == "", strings.Trim(whole+fraction, "0123456789") != "":
		return "must be a decimal like 19.99"
	case len(whole) > maxTotalWhole:
		return "has more than 27 digits before the point"
	case len(fraction) > maxTotalFraction:
		return "has more than 6 digits after the point"
	default:
		return ""
	}
}

// isLess compares two amounts that [checkTotal] has no objections to.
func isLess(a, b, code string) bool {
	x, errX := currency.NewAmount(a, code)
	y, errY := currency.NewAmount(b, code)
	if errX != nil || errY != nil {
		return false
	}
	order, err := x.Cmp(y)
	return err == nil && order < 0
}
