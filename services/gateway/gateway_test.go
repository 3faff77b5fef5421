package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
	"sluice/services/gateway"
)

func TestRequestsReachTheirEndpoints(t *testing.T) {
	t.Parallel()
	w := start(t, gateway.Config{}, echo)
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/v1/notes", `{"text":"hi","tags":["a"]}`, `{"id":"n/1","request":{"text":"hi","tags":["a"]}}`},
		{"POST", "/v1/notes", ``, `{"id":"n/1","request":{}}`},
		{"GET", "/v1/notes/7?limit=20&share=0.5&draft=true&text=a%20b", ``, `{"id":"n/1","request":{"id":"7","text":"a b","limit":20,"share":0.5,"draft":true}}`},
		{"GET", "/v1/notes/a%2Fb%22", ``, `{"id":"n/1","request":{"id":"a/b\""}}`},
		{"POST", "/v1/notes/7/edit", ``, `{"id":"n/1","request":{"id":"7"}}`},
		{"POST", "/v1/notes/7/edit", ` { } `, `{"id":"n/1","request":{"id":"7"}}`},
		{"POST", "/v1/notes/7/edit?limit=3", `{"text":"x"}`, `{"id":"n/1","request":{"id":"7","text":"x","limit":3}}`},
		{"DELETE", "/v1/notes/7", ``, `{}`},
	} {
		a := w.do(t, c.method, c.path, c.body)
		want := 200
		if c.path == "/v1/notes" {
			want = 201
			if got := a.header.Get("Location"); got != "/v1/notes/n%2F1" {
				t.Errorf("Location %q", got)
			}
		}
		if a.status != want || a.body != c.want || a.header.Get("Content-Type") != "application/json" || a.header.Get(endpoint.HeaderCorrelationID) == "" {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, a.status, a.header, a.body)
		}
	}
	if a := w.do(t, "HEAD", "/v1/notes/7", ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
}

func TestBadRequestsNameTheField(t *testing.T) {
	t.Parallel()
	w := start(t, gateway.Config{}, echo)
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		field, message           string
	}{
		{name: "unknown query", method: "GET", path: "/v1/notes/7?colour=red", field: "colour", message: "is not a parameter of this request"},
		{name: "repeated query", method: "GET", path: "/v1/notes/7?limit=1&limit=2", field: "limit", message: "is there twice"},
		{name: "query repeats path", method: "GET", path: "/v1/notes/7?id=8", field: "id", message: "is there twice"},
		{name: "query integer", method: "GET", path: "/v1/notes/7?limit=1.5", field: "limit", message: "must be an integer"},
		{name: "query number", method: "GET", path: "/v1/notes/7?share=NaN", field: "share", message: "must be a number"},
		{name: "query boolean", method: "GET", path: "/v1/notes/7?draft=yes", field: "draft", message: "must be true or false"},
		{name: "query array", method: "GET", path: "/v1/notes/7?tags=a", field: "tags", message: "can't be a parameter, only a member of the body"},
		{name: "query rule", method: "GET", path: "/v1/notes/7?limit=101", field: "limit", message: "must be at most 100"},
		{name: "query UTF-8", method: "GET", path: "/v1/notes/7?text=%ff", field: "text", message: "is not UTF-8"},
		{name: "path UTF-8", method: "GET", path: "/v1/notes/%ff", field: "id", message: "is not UTF-8"},
		{name: "query syntax", method: "GET", path: "/v1/notes/7?a;b"},
		{name: "body repeats path", method: "POST", path: "/v1/notes/7/edit", body: `{"id":"8"}`, field: "id", message: "is there twice"},
		{name: "body repeats path escaped", method: "POST", path: "/v1/notes/7/edit", body: `{"\u0069d":"8"}`, field: "id", message: "is there twice"},
		{name: "body repeats query", method: "POST", path: "/v1/notes/7/edit?limit=1", body: `{"limit":1}`, field: "limit", message: "is there twice"},
		{name: "unknown member", method: "POST", path: "/v1/notes", body: `{"colour":"red"}`, field: "colour", message: "is not a member of this request"},
		{name: "wrong type", method: "POST", path: "/v1/notes/7/edit", body: `{"tags":[1]}`, field: "tags[0]", message: "must be a string"},
		{name: "not JSON", method: "POST", path: "/v1/notes", body: `text`},
		{name: "not JSON with path", method: "POST", path: "/v1/notes/7/edit", body: `text`},
		{name: "cut off with path", method: "POST", path: "/v1/notes/7/edit", body: `{`},
		{name: "array with path", method: "POST", path: "/v1/notes/7/edit", body: `[]`},
		{name: "two objects", method: "POST", path: "/v1/notes/7/edit", body: `{}{}`},
		{name: "body on GET", method: "GET", path: "/v1/notes/7", body: `{}`},
		{name: "body on DELETE", method: "DELETE", path: "/v1/notes/7", body: `{}`},
		{name: "no content type", method: "POST", path: "/v1/notes", body: `{}`, header: []string{"Content-Type", ""}, status: 415},
		{name: "content type", method: "POST", path: "/v1/notes", body: `{}`, header: []string{"Content-Type", "text/plain"}, status: 415},
		{name: "too large", method: "POST", path: "/v1/notes", body: `{"text":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413},
		{name: "too large for NATS", method: "POST", path: "/v1/notes", body: `{"text":"` + strings.Repeat("x", 1<<20-64) + `"}`, status: 413},
		{name: "method", method: "PUT", path: "/v1/notes/7", status: 405},
		{name: "route", method: "GET", path: "/v1/nothing", status: 404},
		{name: "trailing slash", method: "POST", path: "/v1/notes/", status: 404},
		{name: "double slash", method: "POST", path: "//v1/notes", status: 404},
		{name: "no route", method: "POST", path: "/v1/hidden", status: 404},
		{name: "long key", method: "POST", path: "/v1/notes", header: []string{"Idempotency-Key", strings.Repeat("k", 256)}, field: "Idempotency-Key", message: "must be 1 to 255 printable ASCII characters"},
		{name: "odd key", method: "POST", path: "/v1/notes", header: []string{"Idempotency-Key", "k\u00fc"}, field: "Idempotency-Key", message: "must be 1 to 255 printable ASCII characters"},
		{name: "two keys", method: "POST", path: "/v1/notes", header: []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, field: "Idempotency-Key", message: "is there twice"},
		{name: "position", method: "GET", path: "/v1/notes/7", header: []string{"Sluice-Position", "here"}, field: "Sluice-Position", message: "must be like ORDERS=1234"},
		{name: "two positions", method: "GET", path: "/v1/notes/7", header: []string{"Sluice-Position", "A=1", "Sluice-Position", "B=1"}, field: "Sluice-Position", message: "is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := w.do(t, c.method, c.path, c.body, c.header...)
			p := a.problem(t)
			status, code := c.status, endpoint.CodeInvalid
			if status == 0 {
				status = 400
			}
			if status == 404 {
				code = endpoint.CodeNotFound
			}
			if a.status != status || p.Code != code {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if c.field != "" && (len(p.Fields) != 1 || p.Fields[0] != (endpoint.FieldError{Field: c.field, Message: c.message})) {
				t.Errorf("fields %+v, want %s %s", p.Fields, c.field, c.message)
			}
			if status == 405 && a.header.Get("Allow") != "DELETE, GET, HEAD" {
				t.Errorf("Allow %q", a.header.Get("Allow"))
			}
		})
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	field := endpoint.FieldError{Field: "id", Message: "is odd"}
	for _, c := range []struct {
		err    error
		status int
		code   endpoint.Code
		detail string
		retry  string
	}{
		{err: endpoint.Invalid("wrong", field), status: 400, code: endpoint.CodeInvalid, detail: "wrong"},
		{err: endpoint.Unauthenticated("who"), status: 401, code: endpoint.CodeUnauthenticated, detail: "who"},
		{err: endpoint.Forbidden("no"), status: 403, code: endpoint.CodeForbidden, detail: "no"},
		{err: endpoint.NotFound("gone"), status: 404, code: endpoint.CodeNotFound, detail: "gone"},
		{err: endpoint.Conflict("taken", field), status: 409, code: endpoint.CodeConflict, detail: "taken"},
		{err: endpoint.RateLimited("slow", 1500*time.Millisecond), status: 429, code: endpoint.CodeRateLimited, detail: "slow", retry: "2"},
		{err: errors.New("s3cret"), status: 500, code: endpoint.CodeInternal, detail: "internal error"},
		{err: endpoint.Unavailable("behind").After(time.Millisecond), status: 503, code: endpoint.CodeUnavailable, detail: "behind", retry: "1"},
		{err: endpoint.Deadline("late"), status: 504, code: endpoint.CodeDeadline, detail: "late"},
	} {
		t.Run(string(c.code), func(t *testing.T) {
			t.Parallel()
			w := start(t, gateway.Config{}, func(ctx context.Context, _ noteRequest) (note, error) {
				endpoint.Wrote(ctx, "NOTES", 9)
				return note{}, c.err
			})
			a := w.do(t, "GET", "/v1/notes/7", "")
			p := a.problem(t)
			if a.status != c.status || p.Code != c.code || p.Detail != c.detail || a.header.Get("Retry-After") != c.retry ||
				a.header.Get(endpoint.HeaderPosition) != "NOTES=9" || strings.Contains(a.body, "s3cret") {
				t.Errorf("%d %v %s", a.status, a.header, a.body)
			}
			if e, ok := errors.AsType[*endpoint.Error](c.err); ok && len(e.Fields) != len(p.Fields) {
				t.Errorf("fields %+v", p.Fields)
			}
		})
	}
}

func TestHeadersGoThrough(t *testing.T) {
	t.Parallel()
	type seen struct {
		md    event.Metadata
		waits []endpoint.Position
		trace string
	}
	got := make(chan seen, 1)
	w := start(t, gateway.Config{}, func(ctx context.Context, r noteRequest) (note, error) {
		got <- seen{event.MetadataFrom(ctx), endpoint.Waits(ctx), telemetry.TraceID(ctx)}
		endpoint.Wrote(ctx, "NOTES", 12)
		return echo(ctx, r)
	})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	headers := []string{
		"Idempotency-Key", "key 1", "Sluice-Position", "NOTES=3", "Sluice-Correlation-Id", "c-1",
		"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01", "Sluice-User-Id", "mallory",
	}
	a := w.do(t, "POST", "/v1/notes", `{}`, headers...)
	s := <-got
	if s.md.CorrelationID != "c-1" || s.md.CausationID != event.DeriveID("command", "", "key 1") || !s.md.Keyed || s.md.UserID != "" {
		t.Errorf("metadata %+v", s.md)
	}
	if s.trace != trace || len(s.waits) != 1 || s.waits[0] != (endpoint.Position{Stream: "NOTES", Sequence: 3}) {
		t.Errorf("trace %s, waits %v", s.trace, s.waits)
	}
	if a.status != 201 || a.header.Get(endpoint.HeaderPosition) != "NOTES=12" || a.header.Get(endpoint.HeaderCorrelationID) != "c-1" {
		t.Errorf("%d %v", a.status, a.header)
	}

	w.do(t, "POST", "/v1/sessions", `{}`, headers...)
	if s := <-got; s.md.Keyed {
		t.Error("the key of a log-in was forwarded")
	}

	a = w.do(t, "GET", "/v1/notes/7?text=personal", "", "Sluice-Correlation-Id", "not a token", "Traceparent", "nonsense")
	s = <-got
	if s.md.CorrelationID == "" || s.md.CorrelationID == "not a token" || s.md.CorrelationID != a.header.Get(endpoint.HeaderCorrelationID) || s.trace == "" {
		t.Errorf("%+v %v", s, a.header)
	}
	awaitLog(t, w.logs, `"method":"GET","route":"GET /v1/notes/{id}","status":200`)
	out := w.logs.String()
	if !strings.Contains(out, s.trace) || !strings.Contains(out, s.md.CorrelationID) || strings.Contains(out, "personal") {
		t.Errorf("log: %s", out)
	}
}
