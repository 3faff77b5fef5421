package gateway_test

import (
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/gateway"
)

// shop runs the service of things behind a gateway.
func shop(t testing.TB, cfg gateway.Config) world {
	t.Helper()
	srv, log := natstest.Start(t), &logs{}
	serve(t, srv.Connect(t), "thing", "1.0.0", log, new(things).handlers()...)
	return startGateway(t, srv, cfg, hasty, log)
}

const (
	asCustomer = "Bearer customer ada"
	asOperator = "Bearer operator olga"
	asAdmin    = "Bearer admin root"
	asService  = "Bearer service order"

	someThing = `{"name":"lamp","price":{"number":"5.00","currency":"EUR"}}`
)

func TestVersionsAreTags(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	as := func(header ...string) []string { return append([]string{"Authorization", asCustomer}, header...) }
	for _, step := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		tag                      string
	}{
		{name: "read", method: "GET", path: "/v1/things/a", status: 200, tag: `"1"`},
		{name: "known", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `"1"`}, status: 304, tag: `"1"`},
		{name: "known to HEAD", method: "HEAD", path: "/v1/things/a", header: []string{"If-None-Match", `"1"`}, status: 304, tag: `"1"`},
		{name: "known, weak", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `"9", W/"1"`}, status: 304, tag: `"1"`},
		{name: "known compressed", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `"1-gzip"`}, status: 304, tag: `"1"`},
		{name: "two headers", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `"8"`, "If-None-Match", `"1"`}, status: 304, tag: `"1"`},
		{name: "anything", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `*`}, status: 304, tag: `"1"`},
		{name: "another", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `"2", "x,\"1"`}, status: 400},
		{name: "another with a comma", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `"2", "x,1"`}, status: 200, tag: `"1"`},
		{name: "no tag", method: "GET", path: "/v1/things/a", header: []string{"If-None-Match", `1`}, status: 400},
		{name: "read the same", method: "GET", path: "/v1/things/a", header: []string{"If-Match", `"1"`}, status: 200, tag: `"1"`},
		{name: "read another", method: "GET", path: "/v1/things/a", header: []string{"If-Match", `"2"`}, status: 412},
		{name: "change", method: "PUT", path: "/v1/things/a", body: someThing, header: []string{"If-Match", `"1"`}, status: 200, tag: `"2"`},
		{name: "change the old", method: "PUT", path: "/v1/things/a", body: someThing, header: []string{"If-Match", `"1"`}, status: 412},
		{name: "change compressed", method: "PATCH", path: "/v1/things/a", body: someThing, header: []string{"If-Match", `"2-gzip"`}, status: 200, tag: `"3"`},
		{name: "change a weak one", method: "POST", path: "/v1/things/a/touch", header: []string{"If-Match", `W/"3"`}, status: 412},
		{name: "change somebody's", method: "POST", path: "/v1/things/a/touch", header: []string{"If-Match", `"abc"`}, status: 412},
		{name: "change any", method: "POST", path: "/v1/things/a/touch", header: []string{"If-Match", `*`}, status: 400},
		{name: "change one of two", method: "POST", path: "/v1/things/a/touch", header: []string{"If-Match", `"2", "3"`}, status: 400},
		{name: "no tag to match", method: "POST", path: "/v1/things/a/touch", header: []string{"If-Match", `3`}, status: 400},
		{name: "unless", method: "POST", path: "/v1/things/a/touch", header: []string{"If-None-Match", `*`}, status: 400},
		{name: "whatever it is", method: "POST", path: "/v1/things/a/touch", status: 200, tag: `"4"`},
		{name: "what has no version", method: "DELETE", path: "/v1/things/a", header: []string{"If-Match", `"4"`, "Authorization", asOperator}, status: 400},
		{name: "a list", method: "GET", path: "/v1/things", header: []string{"If-None-Match", `"4"`}, status: 200},
		{name: "bare", method: "PUT", path: "/v1/things/a", body: someThing, header: []string{endpoint.HeaderExpectedVersion, "1"}, status: 200, tag: `"5"`},
	} {
		header := as(step.header...)
		if strings.Contains(strings.Join(step.header, ","), "Authorization") {
			header = step.header
		}
		a := w.do(t, step.method, step.path, step.body, header...)
		if a.status != step.status || a.header.Get("ETag") != step.tag && step.status < 400 {
			t.Errorf("%s: %d %v %s", step.name, a.status, a.header, a.body)
		}
		switch {
		case step.status == 412:
			if p := a.problem(t); p.Code != endpoint.CodeConflict {
				t.Errorf("%s: %s", step.name, a.body)
			}
		case step.status >= 400:
			a.problem(t)
		case step.status == 304:
			if a.body != "" || a.header.Get("Content-Type") != "" {
				t.Errorf("%s: %v %q", step.name, a.header, a.body)
			}
		}
		if step.tag != "" && step.method == "GET" && (a.header.Get("Cache-Control") != "private, no-cache" || !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Authorization")) {
			t.Errorf("%s: caches may keep it: %v", step.name, a.header)
		}
	}
}

func TestAccessIsCheckedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{"GET", "/v1/things", "", 200},
		{"GET", "/v1/things", "Bearer forged", 401},
		{"GET", "/v1/things", "Basic YTpi", 401},
		{"GET", "/v1/things/a", "", 401},
		{"GET", "/v1/things/a", asCustomer, 200},
		{"GET", "/v1/things/a", "bearer customer ada", 200},
		{"GET", "/v1/things/a", asService, 200},
		{"DELETE", "/v1/things/a", "", 401},
		{"DELETE", "/v1/things/a", asCustomer, 403},
		{"DELETE", "/v1/things/a", asOperator, 200},
		{"GET", "/v1/things-report", asOperator, 403},
		{"GET", "/v1/things-report", asService, 403},
		{"GET", "/v1/things-report", asAdmin, 200},
		{"POST", "/v1/things-sync", asAdmin, 403},
		{"POST", "/v1/things-sync", asService, 200},
		{"GET", "/v1/routes", asOperator, 403},
		{"GET", "/v1/routes", asAdmin, 200},
	} {
		a := w.do(t, c.method, c.path, "", "Authorization", c.token)
		if a.status != c.status {
			t.Errorf("%s %s as %q: %d %s", c.method, c.path, c.token, a.status, a.body)
		}
		if a.status >= 400 {
			a.problem(t)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) || strings.Contains(challenge, "invalid_token") != (c.status == 401 && c.token != "") {
			t.Errorf("%s %s as %q: challenge %q", c.method, c.path, c.token, challenge)
		}
	}
	// The service is not the one who sees to it.
	stranger(t, w.srv.Connect(t), "lax", "get", "svc.lax.get", map[string]string{
		"http.method": "GET", "http.path": "/v1/lax", "http.auth": "operator", "schema.request": anyObject, "schema.response": anyObject,
	})
	w.awaitStatus(t, "/v1/lax", 401)
	for token, want := range map[string]int{"": 401, "Bearer forged": 401, asCustomer: 403, asOperator: 200} {
		if a := w.do(t, "GET", "/v1/lax", "", "Authorization", token); a.status != want {
			t.Errorf("lax as %q: %d %s", token, a.status, a.body)
		}
	}
	if a := w.do(t, "GET", "/v1/things", "", "Authorization", asAdmin, "Authorization", asCustomer); a.status != 401 {
		t.Errorf("two tokens: %d %s", a.status, a.body)
	}
	awaitLog(t, w.logs, `"user_id":"olga"`)
	if strings.Contains(w.logs.String(), "forged") {
		t.Error("a token is in the log")
	}
}
