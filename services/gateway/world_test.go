package gateway_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
	"sluice/services/gateway"
)

func TestMain(m *testing.M) {
	shutdown := telemetry.Setup(context.Background(), telemetry.Config{}).Shutdown
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", firstLine)
	code := m.Run()
	if err := shutdown(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// firstLine decodes the first item of a stream, which its schema is of.
func firstLine(body io.Reader, header http.Header, schema *openapi3.SchemaRef, encoding openapi3filter.EncodingFn) (any, error) {
	line, err := bufio.NewReader(body).ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return openapi3filter.JSONBodyDecoder(bytes.NewReader(line), header, schema, encoding)
}

type noteRequest struct {
	ID    string   `json:"id,omitempty"`
	Text  string   `json:"text,omitempty" validate:"max=1048576"`
	Limit int      `json:"limit,omitzero" validate:"max=100"`
	Share float64  `json:"share,omitzero"`
	Draft bool     `json:"draft,omitzero"`
	Tags  []string `json:"tags,omitempty"`
}

type note struct {
	ID string `json:"id"`

	Request noteRequest `json:"request"`
}

var (
	createNote = endpoint.Method[noteRequest, note]{Service: "note", Name: "create", HTTP: "POST /v1/notes", Location: "/v1/notes/{id}", Auth: endpoint.Public}
	getNote    = endpoint.Method[noteRequest, note]{Service: "note", Name: "get", HTTP: "GET /v1/notes/{id}", Idempotent: true, Auth: endpoint.Public}
	editNote   = endpoint.Method[noteRequest, note]{Service: "note", Name: "edit", HTTP: "POST /v1/notes/{id}/edit", Auth: endpoint.Public}
	dropNote   = endpoint.Method[noteRequest, struct{}]{Service: "note", Name: "drop", HTTP: "DELETE /v1/notes/{id}", Auth: endpoint.Public}
	logIn      = endpoint.Method[noteRequest, note]{Service: "note", Name: "login", HTTP: "POST /v1/sessions", Auth: endpoint.Public}
	hidden     = endpoint.Method[noteRequest, note]{Service: "note", Name: "hidden", Auth: endpoint.Public}
)

// logs is a buffer that a logger and a test may use at once.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type world struct {
	srv     *natstest.Server
	server  *endpoint.Server
	gateway *gateway.Gateway
	logs    *logs
	url     string
	gone    chan struct{} // receives when the gateway has noticed that NATS is gone
}

func echo(_ context.Context, r noteRequest) (note, error) { return note{ID: "n/1", Request: r}, nil }

func notes(h func(context.Context, noteRequest) (note, error)) []endpoint.Handler {
	return []endpoint.Handler{
		endpoint.Handle(createNote, h), endpoint.Handle(getNote, h), endpoint.Handle(editNote, h),
		endpoint.Handle(logIn, h), endpoint.Handle(hidden, h),
		endpoint.Handle(dropNote, func(ctx context.Context, r noteRequest) (struct{}, error) {
			_, err := h(ctx, r)
			return struct{}{}, err
		}),
	}
}

// hasty sees services come and go soon, and waits for a busy machine.
var hasty = discovery.Config{TTL: time.Nanosecond, Collect: 500 * time.Millisecond, Interval: 50 * time.Millisecond}

// start runs a note service with h behind a gateway until the test ends.
func start(t testing.TB, cfg gateway.Config, h func(context.Context, noteRequest) (note, error)) world {
	t.Helper()
	return startOn(t, natstest.Start(t), cfg, hasty, h)
}

func startOn(t testing.TB, srv *natstest.Server, cfg gateway.Config, pace discovery.Config, h func(context.Context, noteRequest) (note, error)) world {
	t.Helper()
	log := &logs{}
	server := serve(t, srv.Connect(t), "note", "1.0.0", log, notes(h)...)
	w := startGateway(t, srv, cfg, pace, log)
	w.server = server
	return w
}

type part interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// run starts a part, and stops it when the test ends.
func run(t testing.TB, p part) {
	t.Helper()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { halt(t, p) })
}

func halt(t testing.TB, p part) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// serve runs an instance of a service on a connection of its own.
func serve(t testing.TB, nc *nats.Conn, name, version string, out *logs, handlers ...endpoint.Handler) *endpoint.Server {
	t.Helper()
	s := endpoint.Serve(nc, endpoint.ServiceConfig{
		Name: name, Version: version, Concurrency: 256, Verify: verify, Log: telemetry.NewLogger(out, "json", slog.LevelDebug),
	}, handlers...)
	run(t, s)
	return s
}

// startGateway runs a gateway until the test ends.
func startGateway(t testing.TB, srv *natstest.Server, cfg gateway.Config, pace discovery.Config, out *logs) world {
	t.Helper()
	w := world{srv: srv, logs: out, gone: make(chan struct{}, 1)}
	nc := srv.Connect(t, nats.DisconnectErrHandler(func(*nats.Conn, error) {
		select {
		case w.gone <- struct{}{}:
		default:
		}
	}))
	cfg.Addr, cfg.Log = "127.0.0.1:0", telemetry.NewLogger(out, "json", slog.LevelDebug)
	if cfg.Verify == nil {
		cfg.Verify = verify
	}
	cfg.Absence = cmp.Or(cfg.Absence, time.Nanosecond)
	cfg.Discovery = discovery.New(nc, pace)
	if cfg.Caller == nil {
		cfg.Caller = endpoint.NewCaller(nc, endpoint.CallerConfig{})
	}
	listening := cfg.Listening
	cfg.Listening = func(url string) {
		w.url = url
		if listening != nil {
			listening(url)
		}
	}
	w.gateway = gateway.New(cfg)
	run(t, endpoint.Serve(srv.Connect(t), endpoint.ServiceConfig{Name: "gateway", Version: "1.0.0", Verify: cfg.Verify, Log: cfg.Log}, w.gateway.Endpoints()...))
	run(t, w.gateway)
	return w
}

// verify takes tokens like "customer ada", "operator olga", "admin root" and "service
// order".
func verify(_ context.Context, token string) (auth.Identity, error) {
	role, name, _ := strings.Cut(token, " ")
	switch role {
	case "customer":
		return auth.Identity{User: name}, nil
	case "operator", "admin":
		return auth.Identity{User: name, Roles: []auth.Role{auth.Role(role)}}, nil
	case "service":
		return auth.Identity{Service: name}, nil
	default:
		return auth.Identity{}, endpoint.Unauthenticated("the token is no good")
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

type problem struct {
	Type, Title   string
	Status        int
	Detail        string
	Code          endpoint.Code
	Fields        []endpoint.FieldError
	CorrelationID string `json:"correlation_id"`
}

func (a answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || p.Status != a.status || p.Type != "about:blank" ||
		p.Title == "" || p.Detail == "" || p.CorrelationID != a.header.Get(endpoint.HeaderCorrelationID) || p.CorrelationID == "" {
		t.Errorf("not a good problem: %d %v %s", a.status, a.header, a.body)
	}
	return p
}

func (w world) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := w.try(t.Context(), method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try sends body as JSON unless header, name after value, says otherwise.
func (w world) try(ctx context.Context, method, path, body string, header ...string) (answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, reader)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Content-Type" {
			req.Header.Del("Content-Type")
		}
		if header[i+1] != "" {
			req.Header.Add(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	got, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return answer{}, err
	}
	return answer{res.StatusCode, res.Header, string(got)}, nil
}
