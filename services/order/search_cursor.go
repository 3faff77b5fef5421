package order

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

var (
	errCursor      = errors.New("is malformed")
	errOtherSearch = errors.New("belongs to another search")
)

// pageEnd is where in the results a page ended: the last order on it.
type pageEnd struct {
	CreatedAt string `json:"t"` // as [sortableTime] writes it
	ID        string `json:"i"`
	Search    []byte `json:"s"` // what was searched for: see [fingerprint]
}

// cursor writes it as the caller gets it.
func (p pageEnd) cursor() (string, error) {
	b, err := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// parseCursor reads the cursor of req. It may come from anywhere: what it says is
// checked, and what a forger can say only leads to another place of the same results.
func parseCursor(req orderapi.SearchRequest) (pageEnd, error) {
	var p pageEnd
	b, err := base64.RawURLEncoding.Strict().DecodeString(req.Cursor)
	if err != nil {
		return p, errCursor
	}
	if err := json.Unmarshal(b, &p, json.RejectUnknownMembers(true)); err != nil {
		return p, errCursor
	}
	if _, err := time.Parse(timeLayout, p.CreatedAt); err != nil || len(p.CreatedAt) != len(timeLayout) || event.CheckID(p.ID) != nil {
		return p, errCursor
	}
	wanted, err := fingerprint(req)
	if err != nil {
		return p, err
	}
	if string(p.Search) != string(wanted) {
		return p, errOtherSearch
	}
	return p, nil
}

// fingerprint stands for what req searches for, however it is written.
func fingerprint(req orderapi.SearchRequest) ([]byte, error) {
	req.Limit, req.Cursor = 0, ""
	req.From, req.To = req.From.UTC(), req.To.UTC()
	b, err := json.Marshal(req, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:12], nil
}
