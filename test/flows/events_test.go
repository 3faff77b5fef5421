package flows_test

import (
	"net/http"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// TestEventsComeInOverHTTP publishes CloudEvents in both modes of the HTTP binding.
func TestEventsComeInOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	structured, binary := userEvent(event.NewID()), userEvent(event.NewID())
	attributes := []string{
		"ce-specversion", "1.0", "ce-id", binary.id, "ce-source", "/cli", "ce-type", binary.kind, "ce-subject", binary.subject,
		endpoint.HeaderCorrelationID, "came-by-http",
	}
	for range 2 { // publishing twice is one event
		s.Do(t, http.MethodPost, "/v1/events", string(structured.structured()), "Content-Type", "application/cloudevents+json").Into(t, http.StatusAccepted, &struct{}{})
		s.Do(t, http.MethodPost, "/v1/events", binary.data, attributes...).Into(t, http.StatusAccepted, &struct{}{})
	}
	for _, id := range []string{structured.subject, binary.subject} {
		s.Eventually(t, http.StatusOK, http.MethodGet, "/v1/users/"+id, nil)
	}
	history := s.on(t, "USERS", "user.created."+binary.subject)
	if len(history) != 1 || history[0].Header["ce-id"][0] != binary.id || history[0].Header["ce-correlationid"][0] != "came-by-http" {
		t.Errorf("history has %d events of the binary one: %+v", len(history), history)
	}
	if letters := s.letters(t); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}

	for name, bad := range map[string]struct {
		status int
		body   string
		header []string
	}{
		"no attributes":            {http.StatusBadRequest, `{}`, nil},
		"a missing attribute":      {http.StatusBadRequest, `{}`, []string{"ce-specversion", "1.0", "ce-id", "1", "ce-type", "user.created"}},
		"another version":          {http.StatusBadRequest, `{}`, []string{"ce-specversion", "0.3", "ce-id", "1", "ce-source", "/x", "ce-type", "user.created"}},
		"an unknown entity":        {http.StatusBadRequest, strings.Replace(string(structured.structured()), "user.created", "deadletter.created", 1), []string{"Content-Type", "application/cloudevents+json"}},
		"a type with three tokens": {http.StatusBadRequest, strings.Replace(string(structured.structured()), "user.created", "user.created.x", 1), []string{"Content-Type", "application/cloudevents+json"}},
		"a wildcard":               {http.StatusBadRequest, strings.Replace(string(structured.structured()), "user.created", "user.*", 1), []string{"Content-Type", "application/cloudevents+json"}},
		"a batch":                  {http.StatusUnsupportedMediaType, `[]`, []string{"Content-Type", "application/cloudevents-batch+json"}},
		"another content type":     {http.StatusUnsupportedMediaType, `x`, []string{"Content-Type", "text/plain"}},
		"too large for an intake":  {http.StatusRequestEntityTooLarge, strings.Replace(string(structured.structured()), `"/cli"`, `"/`+strings.Repeat("x", 600<<10)+`"`, 1), []string{"Content-Type", "application/cloudevents+json"}},
	} {
		a := s.Do(t, http.MethodPost, "/v1/events", bad.body, bad.header...)
		if p := a.Problem(t, bad.status, endpoint.CodeInvalid); t.Failed() {
			t.Fatalf("%s: %+v", name, p)
		}
	}
}
