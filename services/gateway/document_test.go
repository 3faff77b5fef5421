package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-json-experiment/json"

	"sluice/services/gateway"
)

// description is as much of an OpenAPI document as it takes to send requests.
type description struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string         `json:"operationId"`
		Security    []any          `json:"security"`
		Access      string         `json:"x-access"`
		Parameters  []parameter    `json:"parameters"`
		RequestBody requestBody    `json:"requestBody"`
		Responses   map[string]any `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas    map[string]schema    `json:"schemas"`
		Parameters map[string]parameter `json:"parameters"`
	} `json:"components"`
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Schema   schema `json:"schema"`
}

type requestBody struct {
	Content map[string]struct {
		Schema schema `json:"schema"`
	} `json:"content"`
}

type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Format     string            `json:"format"`
	Enum       []any             `json:"enum"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

func (d description) resolve(s schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

// example makes a value that fits a schema. What a schema does not tell, such as that a
// number is that of a piece that is there, is chosen to suit.
func (d description) example(s schema, name string) any {
	s = d.resolve(s)
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "object":
		object := make(map[string]any)
		for name, member := range s.Properties {
			object[name] = d.example(member, name)
		}
		return object
	case s.Type == "array":
		return []any{d.example(*s.Items, name)}
	case s.Type == "integer" && name == "number":
		return 0
	case s.Type == "integer":
		return 3
	case s.Type == "number":
		return 0.5
	case s.Type == "boolean":
		return true
	case s.Format == "date-time":
		return "2026-01-02T15:04:05Z"
	case name == "id":
		return "a"
	case name == "number":
		return "12.50"
	case name == "currency":
		return "EUR"
	case name == "kind":
		return "big"
	default:
		return "text"
	}
}

// describe returns the document, and who holds requests and answers against it.
func describe(t testing.TB, w world) (description, routers.Router) {
	t.Helper()
	a := w.do(t, "GET", "/openapi.json", "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var d description
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData([]byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatalf("the document is not valid: %v", err)
	}
	document.Servers = openapi3.Servers{{URL: w.url}} // the router knows no relative ones
	router, err := legacy.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	return d, router
}

// check holds a request and its answer against the document.
func check(t testing.TB, router routers.Router, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	route, parameters, err := router.FindRoute(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	sent := &openapi3filter.RequestValidationInput{
		Request: req, Route: route, PathParams: parameters,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true,
		},
	}
	if res.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(t.Context(), sent); err != nil {
			t.Errorf("%s %s: the request does not fit the document: %v", req.Method, req.URL, err)
		}
	}
	got := &openapi3filter.ResponseValidationInput{RequestValidationInput: sent, Status: res.StatusCode, Header: res.Header, Options: sent.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), got.SetBodyBytes(body)); err != nil {
		t.Errorf("%s %s: the answer does not fit the document: %v", req.Method, req.URL, err)
	}
}

// Whoever knows nothing but the document can use everything.
func TestEveryOperationOfTheDocumentWorks(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	d, router := describe(t, w)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	driven := make(map[string]bool)
	for path, operations := range d.Paths {
		for verb, o := range operations {
			t.Run(o.OperationID, func(t *testing.T) {
				query, to := url.Values{}, path
				var header http.Header = make(map[string][]string)
				for _, p := range o.Parameters {
					if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
						p = d.Components.Parameters[name]
					}
					value := fmt.Sprint(d.example(p.Schema, p.Name))
					switch p.In {
					case "path":
						to = strings.ReplaceAll(to, "{"+p.Name+"}", value)
					case "query":
						query.Set(p.Name, value)
					}
				}
				if len(query) > 0 {
					to += "?" + query.Encode()
				}
				var body []byte
				if content, ok := o.RequestBody.Content["application/json"]; ok {
					var err error
					if body, err = json.Marshal(d.example(content.Schema, "")); err != nil {
						t.Fatal(err)
					}
					header.Set("Content-Type", "application/json")
				}
				switch {
				case len(o.Security) == 0:
				case o.Access == "service":
					header.Set("Authorization", asService)
				default:
					header.Set("Authorization", asAdmin)
				}
				status := drive(t, w, router, strings.ToUpper(verb), to, header, body)
				if status >= 300 {
					t.Errorf("%s %s: %d", verb, to, status)
				}
				if _, ok := o.Responses[fmt.Sprint(status)]; !ok {
					t.Errorf("%s %s: status %d is not in the document", verb, to, status)
				}
				driven[o.OperationID] = true

				// What is refused is in the document too.
				if len(o.Security) > 0 {
					header.Del("Authorization")
					if status := drive(t, w, router, strings.ToUpper(verb), to, header, body); status != 401 || o.Responses["401"] == nil {
						t.Errorf("%s %s without a token: %d", verb, to, status)
					}
				}
			})
		}
	}
	for _, r := range w.routes(t).Routes {
		if !driven[r.Service+"."+r.Endpoint] {
			t.Errorf("%s.%s is not in the document", r.Service, r.Endpoint)
		}
	}
	if len(driven) < 13 {
		t.Errorf("%d operations: %v", len(driven), driven)
	}
}

func TestTheDocumentNamesTheHeaders(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	serve(t, w.srv.Connect(t), "note", "1.0.0", w.logs, notes(echo)...)
	w.awaitStatus(t, "/v1/notes/7", 200)
	d, _ := describe(t, w)
	for operation, want := range map[string][]string{
		"get /v1/things/{id}":    {"CorrelationID", "Position", "IfNoneMatch", "IfMatch"},
		"put /v1/things/{id}":    {"CorrelationID", "IdempotencyKey", "IfMatch"},
		"delete /v1/things/{id}": {"CorrelationID", "IdempotencyKey"},
		"get /v1/things":         {"CorrelationID", "Position"},
		"post /v1/sessions":      {"CorrelationID"},
	} {
		verb, path, _ := strings.Cut(operation, " ")
		var got []string
		for _, p := range d.Paths[path][verb].Parameters {
			if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", operation, got, want)
		}
	}
}

// drive sends a request and holds it and its answer against the document.
func drive(t testing.TB, w world, router routers.Router, method, path string, header http.Header, body []byte) int {
	t.Helper()
	request := func() *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header.Clone()
		if len(body) == 0 {
			req.Body = http.NoBody
		}
		return req
	}
	res, err := http.DefaultClient.Do(request())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	check(t, router, request(), res, got)
	return res.StatusCode
}

// Problems are as the document says, whatever is wrong.
func TestProblemsFitTheDocument(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	_, router := describe(t, w)
	for _, c := range []struct {
		method, path, token, body string
		status                    int
	}{
		{"GET", "/v1/things/a", "", "", 401},
		{"GET", "/v1/things/none", asAdmin, "", 404},
		{"POST", "/v1/things", asAdmin, `{"name":7}`, 400},
		{"DELETE", "/v1/things/a", asCustomer, "", 403},
		{"GET", "/v1/things?limit=1000", "", "", 400},
	} {
		header := http.Header{"Content-Type": {"application/json"}, "Authorization": {c.token}}
		if c.token == "" {
			header.Del("Authorization")
		}
		if got := drive(t, w, router, c.method, c.path, header, []byte(c.body)); got != c.status {
			t.Errorf("%s %s: %d", c.method, c.path, got)
		}
	}
}

func TestTheDocumentFollowsTheRoutes(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	first := w.do(t, "GET", "/openapi.json", "")
	tag := first.header.Get("ETag")
	if a := w.do(t, "GET", "/openapi.json", "", "If-None-Match", tag); tag == "" || a.status != 304 || a.body != "" {
		t.Errorf("known, %s: %d", tag, a.status)
	}
	serve(t, w.srv.Connect(t), "note", "1.0.0", w.logs, notes(echo)...)
	w.awaitStatus(t, "/v1/notes/7", 200)
	a := w.do(t, "GET", "/openapi.json", "", "If-None-Match", tag)
	if a.status != 200 || !strings.Contains(a.body, `"note.create"`) || strings.Contains(first.body, `"note.create"`) {
		t.Errorf("after a service came: %d", a.status)
	}
	if d, _ := describe(t, w); len(d.Paths["/v1/notes/{id}"]) != 2 {
		t.Errorf("%v", d.Paths["/v1/notes/{id}"])
	}
}
