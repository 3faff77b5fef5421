package gateway_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/gateway"
	"sluice/services/gateway/gatewayapi"
)

// method is a route that answers with the name of who served it.
func method(service, name, route string, access endpoint.Access) endpoint.Method[noteRequest, note] {
	return endpoint.Method[noteRequest, note]{Service: service, Name: name, HTTP: route, Auth: access}
}

func says(m endpoint.Method[noteRequest, note], who string) endpoint.Handler {
	return endpoint.Handle(m, func(context.Context, noteRequest) (note, error) { return note{ID: who}, nil })
}

// await asks until the answer is as wanted.
func (w world) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20 s until %s; log: %s", what, w.logs)
		}
	}
}

// awaitStatus asks until a path answers with status.
func (w world) awaitStatus(t testing.TB, path string, status int) answer {
	t.Helper()
	var a answer
	w.await(t, path+" changes", func() bool {
		a = w.do(t, "GET", path, "")
		return a.status == status
	})
	return a
}

// routes asks as an admin what the gateway has.
func (w world) routes(t testing.TB) gatewayapi.RoutesResponse {
	t.Helper()
	a := w.do(t, "GET", "/v1/routes", "", "Authorization", "Bearer admin root")
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var res gatewayapi.RoutesResponse
	if err := json.Unmarshal([]byte(a.body), &res); err != nil {
		t.Fatal(err)
	}
	return res
}

func TestRoutesComeAndGoWithTheirServices(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	w := startGateway(t, srv, gateway.Config{}, hasty, &logs{})
	if a := w.do(t, "GET", "/v1/tasks", ""); a.status != 404 {
		t.Fatalf("before anybody is there: %d %s", a.status, a.body)
	}
	list := method("task", "list", "GET /v1/tasks", endpoint.Public)
	one := serve(t, srv.Connect(t), "task", "1.0.0", w.logs, says(list, "one"))
	if a := w.awaitStatus(t, "/v1/tasks", 200); !strings.Contains(a.body, `"one"`) {
		t.Errorf("%s", a.body)
	}
	done := method("task", "done", "GET /v1/tasks/done", endpoint.Public)
	two := serve(t, srv.Connect(t), "task", "1.1.0", w.logs, says(list, "two"), says(done, "two"))
	w.awaitStatus(t, "/v1/tasks/done", 200)

	halt(t, one)
	// What is left of the service keeps its routes, and what has gone answers for none.
	for range 20 {
		if a := w.do(t, "GET", "/v1/tasks", ""); a.status != 200 || !strings.Contains(a.body, `"two"`) {
			t.Fatalf("after the first has gone: %d %s", a.status, a.body)
		}
	}
	halt(t, two)
	w.awaitStatus(t, "/v1/tasks/done", 404)
	if a := w.do(t, "GET", "/v1/tasks", ""); a.status != 404 {
		t.Errorf("after the last has gone: %d %s", a.status, a.body)
	}
	awaitLog(t, w.logs, `"msg":"routes changed","routes":1,"added":null,"gone":["GET /v1/tasks","GET /v1/tasks/done"]`)
}

// Nobody waits for the next question when somebody asks for what was there before.
func TestAServiceThatComesBackIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	srv, log, seldom := natstest.Start(t), &logs{}, hasty
	seldom.Interval = time.Hour
	first := serve(t, srv.Connect(t), "task", "1.0.0", log, says(method("task", "get", "GET /v1/tasks/{id}", endpoint.Public), "one"))
	w := startGateway(t, srv, gateway.Config{}, seldom, log)
	w.awaitStatus(t, "/v1/tasks/7", 200)
	halt(t, first)
	w.awaitStatus(t, "/v1/tasks/7", 404)
	serve(t, srv.Connect(t), "task", "1.0.0", log, says(method("task", "get", "GET /v1/tasks/{id}", endpoint.Public), "two"))
	w.awaitStatus(t, "/v1/tasks/8", 200)
}

// A service whose only instance is replaced is away for a moment, and not unknown: 404 would
// tell clients not to come again.
func TestARouteWhoseServiceIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	srv, log := natstest.Start(t), &logs{}
	first := serve(t, srv.Connect(t), "task", "1.0.0", log, says(method("task", "get", "GET /v1/tasks/{id}", endpoint.Public), "one"))
	w := startGateway(t, srv, gateway.Config{Absence: time.Hour}, hasty, log)
	w.awaitStatus(t, "/v1/tasks/7", 200)
	halt(t, first)
	awaitLog(t, log, `"gone":["GET /v1/tasks/{id}"]`)
	a := w.do(t, "GET", "/v1/tasks/7", "")
	if a.status != 503 || !strings.Contains(a.body, "nobody serves this route now") || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if a := w.do(t, "GET", "/v1/other", ""); a.status != 404 {
		t.Errorf("a route that never was: %d %s", a.status, a.body)
	}
	serve(t, srv.Connect(t), "task", "1.0.0", log, says(method("task", "get", "GET /v1/tasks/{id}", endpoint.Public), "two"))
	w.awaitStatus(t, "/v1/tasks/7", 200)
}

func TestTheHighestVersionDescribesAnEndpoint(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	log := &logs{}
	serve(t, srv.Connect(t), "task", "1.9.0", log,
		says(method("task", "list", "GET /v1/tasks", endpoint.Public), "old"), says(method("task", "old", "GET /v1/old-tasks", endpoint.Public), "old"))
	serve(t, srv.Connect(t), "task", "1.10.0", log,
		says(method("task", "list", "GET /v1/tasks", endpoint.Operator), "new"), says(method("task", "new", "GET /v1/new-tasks", endpoint.Public), "new"))
	w := startGateway(t, srv, gateway.Config{}, hasty, log)
	for path, want := range map[string]int{"/v1/tasks": 401, "/v1/old-tasks": 200, "/v1/new-tasks": 200} {
		if a := w.do(t, "GET", path, ""); a.status != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	versions := make(map[string]string)
	for _, r := range w.routes(t).Routes {
		versions[r.Endpoint] = r.Version
	}
	if versions["list"] != "1.10.0" || versions["old"] != "1.9.0" || versions["new"] != "1.10.0" {
		t.Errorf("%v", versions)
	}
}

func TestConflictsAreRefusedAndShown(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	log := &logs{}
	serve(t, srv.Connect(t), "bravo", "1.0.0", log,
		says(method("bravo", "get", "GET /v1/things/{id}", endpoint.Public), "bravo"),
		says(method("bravo", "best", "GET /v1/things/best", endpoint.Public), "bravo"), // its own may be more special
	)
	w := startGateway(t, srv, gateway.Config{}, hasty, log)
	w.awaitStatus(t, "/v1/things/7", 200)

	// Who comes later gets nothing that somebody else has, in whole or in part.
	late := serve(t, srv.Connect(t), "alpha", "1.0.0", log,
		says(method("alpha", "same", "GET /v1/things/{id}", endpoint.Public), "alpha"),
		says(method("alpha", "part", "GET /v1/things/special", endpoint.Public), "alpha"),
		says(method("alpha", "both", "GET /v1/{id}/best", endpoint.Public), "alpha"),
		says(method("alpha", "events", "DELETE /v1/events", endpoint.Public), "alpha"),
		says(method("alpha", "well", "GET /healthz", endpoint.Public), "alpha"),
		says(method("alpha", "routes", "GET /v1/routes", endpoint.Public), "alpha"),
		says(method("alpha", "left", "GET /v1/pairs/{id}/left", endpoint.Public), "alpha"),
		says(method("alpha", "right", "GET /v1/pairs/{id}/{limit}", endpoint.Public), "alpha"),
		says(method("alpha", "wrong", "GET /v1/{id}/right/left", endpoint.Public), "alpha"),
		says(method("alpha", "free", "GET /v1/free", endpoint.Public), "alpha"),
	)
	w.awaitStatus(t, "/v1/free", 200)
	reasons := make(map[string]string)
	for _, r := range w.routes(t).Refused {
		reasons[r.Service+"."+r.Endpoint] = r.Reason
	}
	for name, want := range map[string]string{
		"alpha.same":   "GET /v1/things/best of bravo is there already",
		"alpha.part":   "GET /v1/things/{id} of bravo is there already",
		"alpha.both":   "GET /v1/things/best of bravo is there already",
		"alpha.events": "/v1/events is the gateway's own",
		"alpha.well":   "/healthz is the gateway's own",
		"alpha.routes": "/v1/routes is the gateway's own",
		"alpha.wrong":  "GET /v1/pairs/{id}/left of alpha is there already",
	} {
		if reasons[name] != want {
			t.Errorf("%s: %q, want %q", name, reasons[name], want)
		}
		delete(reasons, name)
	}
	if len(reasons) > 0 {
		t.Errorf("refused too: %v", reasons)
	}
	for path, want := range map[string]string{"/v1/things/7": "bravo", "/v1/things/special": "bravo", "/v1/things/best": "bravo", "/v1/pairs/7/left": "alpha"} {
		if a := w.do(t, "GET", path, ""); !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if n := strings.Count(w.logs.String(), `"endpoint":"same"`); n != 1 {
		t.Errorf("logged %d times", n)
	}
	halt(t, late)
	w.awaitStatus(t, "/v1/free", 404)
}

// Of two that come at once the one whose name comes first gets the route, and the other
// as soon as it is free.
func TestTheNextInLineGetsAFreeRoute(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	log := &logs{}
	serve(t, srv.Connect(t), "bravo", "1.0.0", log, says(method("bravo", "get", "GET /v1/things", endpoint.Public), "bravo"))
	first := serve(t, srv.Connect(t), "alpha", "1.0.0", log, says(method("alpha", "get", "GET /v1/things", endpoint.Public), "alpha"))
	w := startGateway(t, srv, gateway.Config{}, hasty, log)
	if a := w.do(t, "GET", "/v1/things", ""); !strings.Contains(a.body, "alpha") {
		t.Errorf("%d %s", a.status, a.body)
	}
	halt(t, first)
	w.await(t, "bravo has the route", func() bool { return strings.Contains(w.do(t, "GET", "/v1/things", "").body, "bravo") })
}

const anyObject = `{"type":"object","properties":{"id":{"type":"string"},"list":{"type":"array"}}}`

// stranger serves one endpoint with metadata of its choice.
func stranger(t testing.TB, nc *nats.Conn, service, name, subject string, metadata map[string]string) {
	t.Helper()
	s, err := micro.AddService(nc, micro.Config{Name: service, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.AddEndpoint(name, micro.HandlerFunc(func(r micro.Request) { _ = r.Respond([]byte(`{"stranger":true}`)) }),
		micro.WithEndpointSubject(subject), micro.WithEndpointMetadata(metadata))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestHostileMetadataGetsNoRoute(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	log := &logs{}
	serve(t, srv.Connect(t), "note", "1.0.0", log, notes(echo)...)
	cases := map[string]struct {
		subject, key, value, reason string
	}{
		"good":       {},
		"elsewhere":  {subject: "$JS.API.STREAM.DELETE.ORDERS", reason: "the subject must be svc.elsewhere.get"},
		"other":      {subject: "svc.note.get", reason: "the subject must be svc.other.get"},
		"noauth":     {key: "http.auth", reason: "http.auth is missing: nobody may call it"},
		"oddauth":    {key: "http.auth", value: "everybody", reason: "http.auth must be public, user, operator, admin or service"},
		"verb":       {key: "http.method", value: "CONNECT", reason: "http.method must be"},
		"noverb":     {key: "http.method", reason: "http.method must be"},
		"nopath":     {key: "http.path", reason: "http.path must be"},
		"root":       {key: "http.path", value: "/", reason: "http.path must be"},
		"everything": {key: "http.path", value: "/{id}", reason: "http.path must be"},
		"rest":       {key: "http.path", value: "/v1/x/{id...}", reason: "http.path must be"},
		"dots":       {key: "http.path", value: "/v1/../admin", reason: "http.path must be"},
		"host":       {key: "http.path", value: "evil.example/v1", reason: "http.path must be"},
		"space":      {key: "http.path", value: "/v1/x y", reason: "http.path must be"},
		"long":       {key: "http.path", value: "/v1" + strings.Repeat("/x", 200), reason: "http.path must be"},
		"parameter":  {key: "http.path", value: "/v1/parameter/{other}", reason: `path parameter "other" is not`},
		"array":      {key: "http.path", value: "/v1/array/{list}", reason: `path parameter "list" is not`},
		"twice":      {key: "http.path", value: "/v1/twice/{id}/{id}", reason: `path parameter "id" is not`},
		"location":   {key: "http.location", value: "//evil.example/{id}", reason: "http.location must be"},
		"placeless":  {key: "http.location", value: "/v1/x/{other}", reason: `location "/v1/x/{other}": "other" is not a string`},
		"chatty":     {key: "description", value: strings.Repeat("x", 1001), reason: "the description must be"},
		"noschema":   {key: "schema.request", reason: "the request schema is missing"},
		"nojson":     {key: "schema.request", value: `{"type":"object"`, reason: "the request schema is not JSON"},
		"huge":       {key: "schema.response", value: `{"type":"object","title":"` + strings.Repeat("x", 64<<10) + `"}`, reason: "the response schema is larger"},
		"deep":       {key: "schema.response", value: strings.Repeat(`{"not":`, 5000) + `{}` + strings.Repeat(`}`, 5000), reason: "the response schema is nested too deeply"},
		"reference":  {key: "schema.response", value: `{"type":"object","properties":{"a":{"$ref":"http://evil.example/"}}}`, reason: "the response schema is no JSON Schema that is taken"},
		"typo":       {key: "schema.response", value: `{"type":"objekt"}`, reason: "the response schema is no JSON Schema that is taken"},
		"list":       {key: "schema.response", value: `{"type":"array"}`, reason: "the response schema is not that of an object"},
		"pattern":    {key: "schema.response", value: `{"type":"object","properties":{"a":{"pattern":"("}}}`, reason: "the response schema is no JSON Schema"},
		"doublejson": {key: "schema.response", value: `{"type":"object","type":"object"}`, reason: "the response schema is not JSON"},
		"Upper":      {reason: "the names of service and endpoint must be"},
		"plain":      {key: "http.path", value: "", reason: "http.path must be"},
	}
	for name, c := range cases {
		service := name
		subject := c.subject
		if subject == "" {
			subject = "svc." + service + ".get"
		}
		metadata := map[string]string{
			"http.method": "GET", "http.path": "/v1/" + strings.ToLower(name), "http.auth": "public",
			"schema.request": anyObject, "schema.response": anyObject,
		}
		if c.key != "" {
			metadata[c.key] = c.value
		}
		stranger(t, srv.Connect(t), service, "get", subject, metadata)
	}
	w := startGateway(t, srv, gateway.Config{}, hasty, log)
	refused := make(map[string]string)
	for _, r := range w.routes(t).Refused {
		refused[r.Service] = r.Reason
	}
	for name, c := range cases {
		if c.reason == "" {
			if refused[name] != "" {
				t.Errorf("%s: refused: %s", name, refused[name])
			}
			continue
		}
		if got := refused[name]; !strings.HasPrefix(got, c.reason) || len(got) > 310 {
			t.Errorf("%s: %q, want %q", name, got, c.reason)
		}
	}
	if a := w.do(t, "GET", "/v1/good", ""); a.status != 200 || a.body != `{"stranger":true}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do(t, "GET", "/v1/notes/7", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, r := range w.routes(t).Routes {
		if r.Service != "note" && r.Service != "gateway" && r.Service != "good" {
			t.Errorf("%+v", r)
		}
	}
}

// A service that is silent has not left: it keeps its routes until NATS knows nobody
// who would be it.
func TestASilentServiceKeepsItsRoutes(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	asked := make(chan struct{}, 100)
	info := `{"name":"shy","id":"shy","version":"1.0.0","endpoints":[{"name":"get","subject":"svc.shy.get","metadata":{` +
		`"http.method":"GET","http.path":"/v1/shy","http.auth":"public","schema.request":"{\"type\":\"object\"}","schema.response":"{\"type\":\"object\"}"}}]}`
	times := 0
	if _, err := nc.Subscribe("$SRV.INFO", func(m *nats.Msg) {
		asked <- struct{}{}
		if times++; times == 1 {
			_ = m.Respond([]byte(info))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("svc.shy.get", func(m *nats.Msg) { _ = m.Respond([]byte(`{}`)) }); err != nil {
		t.Fatal(err)
	}
	pinged := make(chan struct{}, 100)
	ping, err := nc.Subscribe("$SRV.PING.shy", func(*nats.Msg) { pinged <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	w := startGateway(t, srv, gateway.Config{}, hasty, &logs{})
	for range 2 {
		<-pinged
		if a := w.do(t, "GET", "/v1/shy", ""); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if err := ping.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(t, "/v1/shy", 404)
}

func TestAnOutageKeepsTheRoutes(t *testing.T) {
	t.Parallel()
	srv, log := natstest.Start(t), &logs{}
	// The service comes back later than the gateway, which finds nobody at first.
	serve(t, srv.Connect(t, nats.ReconnectWait(time.Second)), "note", "1.0.0", log, notes(echo)...)
	w := startGateway(t, srv, gateway.Config{}, hasty, log)
	srv.Stop()
	<-w.gone
	awaitLog(t, w.logs, "the routes stay as they are")
	a := w.do(t, "GET", "/v1/notes/7", "")
	if p := a.problem(t); a.status != 503 || p.Detail != "NATS is unreachable" {
		t.Errorf("%d %s", a.status, a.body)
	}
	srv.Restart(t)
	w.awaitStatus(t, "/v1/notes/7", 200)
	if strings.Contains(w.logs.String(), `"gone":["`) {
		t.Errorf("routes went: %s", w.logs)
	}
}

// A gateway that comes first knows no routes, which is not the same as that there are
// none.
func TestWithoutAnAnswerNothingIsKnown(t *testing.T) {
	t.Parallel()
	g := gateway.New(gateway.Config{})
	rec := httptest.NewRecorder()
	g.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/notes/7", nil))
	if rec.Code != 503 || !strings.Contains(rec.Body.String(), "the routes are not known yet") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
