package flows_test

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"sluice/pkg/event"
)

// TestTheDocumentIsTrue: every operation of /openapi.json is there and answers as the
// document says: what is asked for without a body, or with an empty one.
func TestTheDocumentIsTrue(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	user := s.newUser(t)
	order := s.newOrder(t, user.ID)
	content := s.Do(t, http.MethodGet, "/openapi.json", nil).Want(t, http.StatusOK).Body
	document, err := openapi3.NewLoader().LoadFromData([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatalf("the document is not valid: %v", err)
	}
	document.Servers = openapi3.Servers{{URL: s.URL}} // the router knows no relative ones
	router, err := legacy.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	type operation struct{ verb, path string }
	var operations []operation
	for path, item := range document.Paths.Map() {
		for verb := range item.Operations() {
			operations = append(operations, operation{verb, path})
		}
	}
	if len(operations) < 35 {
		t.Errorf("only %d operations", len(operations))
	}
	slices.SortFunc(operations, func(a, b operation) int {
		return cmp.Or(deletes(a.verb)-deletes(b.verb), strings.Compare(a.path+" "+a.verb, b.path+" "+b.verb))
	})
	found := 0
	for _, o := range operations {
		id := event.NewID()
		switch {
		case strings.HasPrefix(o.path, "/v1/users/"):
			id = user.ID
		case strings.HasPrefix(o.path, "/v1/orders/"):
			id = order.ID
		}
		path := strings.NewReplacer("{id}", id, "{user_id}", user.ID, "{name}", "order").Replace(o.path)
		if o.path == "/v1/events" {
			path += "?subject=order.*.*"
		}
		if status := s.drive(t, router, o.verb, path); status < 300 {
			found++
		}
	}
	if found < 20 {
		t.Errorf("only %d operations were carried out", found)
	}
}

// deletes is 1 for what comes last.
func deletes(verb string) int {
	if verb == http.MethodDelete {
		return 1
	}
	return 0
}

// drive makes a request and holds the answer against the document.
func (s *system) drive(t *testing.T, router routers.Router, verb, path string) (status int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, verb, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	if verb == http.MethodPost || verb == http.MethodPut || verb == http.MethodPatch {
		req.Body = io.NopCloser(strings.NewReader("{}"))
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	route, parameters, err := router.FindRoute(req)
	if err != nil {
		t.Fatalf("%s %s: %v", verb, path, err)
	}
	if res.StatusCode == http.StatusMethodNotAllowed || res.StatusCode >= 500 {
		t.Errorf("%s %s: %s", verb, path, res.Status)
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true, IncludeResponseStatus: true}
	got := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route, PathParams: parameters, Options: options},
		Status:                 res.StatusCode, Header: res.Header, Options: options,
	}
	switch media, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); media {
	case "application/json", "application/problem+json":
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := openapi3filter.ValidateResponse(t.Context(), got.SetBodyBytes(body)); err != nil {
			t.Errorf("%s %s: the answer does not fit the document: %v", verb, path, err)
		}
	default: // lines, events or metrics
		if answer := route.Operation.Responses.Status(res.StatusCode); answer == nil || answer.Value.Content.Get(media) == nil {
			t.Errorf("%s %s: %d %s is not in the document", verb, path, res.StatusCode, media)
		}
	}
	return res.StatusCode
}
