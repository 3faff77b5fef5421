package flows_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/pkg/endpoint"
)

// problem is an error as RFC 9457 has it, with the members that Sluice adds.
type problem struct {
	Type          string                `json:"type"`
	Title         string                `json:"title"`
	Status        int                   `json:"status"`
	Detail        string                `json:"detail"`
	Code          endpoint.Code         `json:"code"`
	Fields        []endpoint.FieldError `json:"fields"`
	CorrelationID string                `json:"correlation_id"`
}

// problem checks that an answer is a whole problem and returns it.
func (a answer) problem(t testing.TB, status int, code endpoint.Code) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("status %d, not a problem: %q: %v", a.status, a.body, err)
	}
	switch {
	case a.status != status || p.Status != status || p.Code != code:
		t.Errorf("status %d, code %s; want %d, %s: %s", a.status, p.Code, status, code, a.body)
	case a.header.Get("Content-Type") != "application/problem+json":
		t.Errorf("content type %q", a.header.Get("Content-Type"))
	case p.Type != "about:blank" || p.Title == "" || p.Detail == "":
		t.Errorf("a member is missing: %s", a.body)
	case p.CorrelationID == "" || p.CorrelationID != a.header.Get(endpoint.HeaderCorrelationID):
		t.Errorf("correlation id %q in the body, %q in the header", p.CorrelationID, a.header.Get(endpoint.HeaderCorrelationID))
	}
	return p
}

// names reports whether the problem names the field.
func (p problem) names(field string) bool {
	return slices.ContainsFunc(p.Fields, func(f endpoint.FieldError) bool { return f.Field == field && strings.TrimSpace(f.Message) != "" })
}
