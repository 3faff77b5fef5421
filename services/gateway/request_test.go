package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/endpoint"
	"sluice/services/gateway"
)

// FuzzRequest sends hostile requests: each is answered with JSON and a status of the
// list, and a request that gets through has the id of its path and nothing else.
func FuzzRequest(f *testing.F) {
	w := start(f, gateway.Config{}, echo)
	for _, seed := range []struct{ id, query, body, key, correlation string }{
		{"7", "", "", "", ""},
		{"7", "limit=3&text=a", `{"draft":true}`, "k", "c-1"},
		{"a/b", "limit=3;x", `{"id":"8"}`, "\x01", "\r\n"},
		{"%ff", "id=9", `{"\u0069d":"8"}`, strings.Repeat("k", 300), "é"},
		{"..", "%zz", `{"text":"` + "\xff" + `"}`, "a\x00b", "a b"},
		{"\"}", "tags=1", `},"id":"8"`, "k", "c"},
		{"x", "", `{"request":{"id":"y"}}{}`, "", ""},
	} {
		f.Add(seed.id, seed.query, seed.body, seed.key, seed.correlation)
	}
	f.Fuzz(func(t *testing.T, id, query, body, key, correlation string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		req.URL = &url.URL{Path: "/v1/notes/" + id + "/edit", RawPath: "/v1/notes/" + url.PathEscape(id) + "/edit", RawQuery: query}
		req.Header.Set("Content-Type", "application/json")
		req.Header[endpoint.HeaderIdempotencyKey] = []string{key}
		req.Header[endpoint.HeaderCorrelationID] = []string{correlation}
		rec := httptest.NewRecorder()
		w.gateway.ServeHTTP(rec, req)

		if !jsontext.Value(rec.Body.Bytes()).IsValid() || !endpoint.ValidCorrelationID(rec.Header().Get(endpoint.HeaderCorrelationID)) {
			t.Fatalf("%d %v %q", rec.Code, rec.Header(), rec.Body)
		}
		switch rec.Code {
		case http.StatusOK:
			var n note
			if err := json.Unmarshal(rec.Body.Bytes(), &n); err != nil || n.Request.ID != id {
				t.Errorf("id %q came in as %q: %v", id, n.Request.ID, err)
			}
		case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}
