package program

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/pkg/endpoint"
)

// Problem is an error as RFC 9457 has it, with the members that Sluice adds.
type Problem struct {
	Type          string                `json:"type"`
	Title         string                `json:"title"`
	Status        int                   `json:"status"`
	Detail        string                `json:"detail"`
	Code          endpoint.Code         `json:"code"`
	Fields        []endpoint.FieldError `json:"fields"`
	CorrelationID string                `json:"correlation_id"`
}

// Problem checks that an answer is a whole problem and returns it.
func (a Answer) Problem(t testing.TB, status int, code endpoint.Code) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(a.Body), &p, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("status %d, not a problem: %q: %v", a.Status, a.Body, err)
	}
	switch {
	case a.Status != status || p.Status != status || p.Code != code:
		t.Errorf("status %d, code %s; want %d, %s: %s", a.Status, p.Code, status, code, a.Body)
	case a.Header.Get("Content-Type") != "application/problem+json":
		t.Errorf("content type %q", a.Header.Get("Content-Type"))
	case p.Type != "about:blank" || p.Title == "" || p.Detail == "":
		t.Errorf("a member is missing: %s", a.Body)
	case p.CorrelationID == "" || p.CorrelationID != a.Header.Get(endpoint.HeaderCorrelationID):
		t.Errorf("correlation id %q in the body, %q in the header", p.CorrelationID, a.Header.Get(endpoint.HeaderCorrelationID))
	}
	return p
}

// Names reports whether the problem names the field.
func (p Problem) Names(field string) bool {
	return slices.ContainsFunc(p.Fields, func(f endpoint.FieldError) bool { return f.Field == field && strings.TrimSpace(f.Message) != "" })
}
