package live_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
	"sluice/services/gateway/live"
)

var (
	notes = eventstore.Stream{Name: "NOTES", Entity: "note"}
	tasks = eventstore.Stream{Name: "TASKS", Entity: "task"}

	noteEvents = event.NewRegistry("note", event.Define[written](1).First(), event.Define[changed](1), event.Define[erased](1))
	taskEvents = event.NewRegistry("task", event.Define[done](1))

	getNote = endpoint.Method[getRequest, note]{Service: "note", Name: "get", Idempotent: true, Auth: endpoint.SignedIn}
)

type written struct {
	Owner string `json:"owner"`
	Text  string `json:"text"`
}

type changed struct {
	Text string `json:"text"`
}

type erased struct{}

type done struct {
	Text string `json:"text"`
}

func (written) EventType() string { return "note.written" }
func (changed) EventType() string { return "note.changed" }
func (erased) EventType() string  { return "note.erased" }
func (done) EventType() string    { return "task.done" }

type getRequest struct {
	ID string `json:"id" validate:"required"`
}

type note struct {
	ID    string `json:"id"`
	Owner string `json:"owner"`
}

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

// tokens are the tokens that are good, and whose they are.
type tokens struct {
	mu    sync.Mutex
	owner map[string]auth.Identity
}

func (k *tokens) verify(_ context.Context, token string) (auth.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.owner[token]
	if !ok {
		return auth.Identity{}, endpoint.Unauthenticated("the token is no good")
	}
	return id, nil
}

func (k *tokens) revoke(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.owner, token)
}

// world is NATS with two histories, the service that owns one of them, and a server of
// live events.
type world struct {
	nats    *natstest.Server
	js      jetstream.JetStream
	notes   *eventstore.Store
	tasks   *eventstore.Store
	tokens  *tokens
	handler *live.Handler
	http    *httptest.Server
	logs    *logs
}

// socketBuffer is small, so that who does not read is noticed soon.
const socketBuffer = 256 << 10

// start runs a world until the test ends. The server's own limit of time for an answer
// is short, since streams must not be bound by it.
func start(t testing.TB, cfg live.Config, options ...func(*httptest.Server)) world {
	t.Helper()
	w := world{nats: natstest.Start(t), logs: &logs{}, tokens: &tokens{owner: map[string]auth.Identity{
		"admin": {User: "root", Roles: []auth.Role{auth.Admin}}, "operator": {User: "op", Roles: []auth.Role{auth.Operator}},
		"alice": {User: "alice"}, "bob": {User: "bob"}, "service": {Service: "order"},
	}}}
	w.js = w.nats.JetStream(t)
	w.notes, w.tasks = eventstore.New(w.js, notes, noteEvents), eventstore.New(w.js, tasks, taskEvents)
	for _, store := range []*eventstore.Store{w.notes, w.tasks} {
		w.create(t, store)
	}
	log := telemetry.NewLogger(w.logs, "json", slog.LevelDebug)
	service := endpoint.Serve(w.nats.Connect(t), endpoint.ServiceConfig{Name: "note", Version: "1.0.0", Log: log, Verify: w.tokens.verify},
		endpoint.Handle(getNote, w.get))
	if err := service.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := service.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	cfg.Histories = []live.History{{Stream: notes, Events: noteEvents, Get: getNote.Spec()}, {Stream: tasks, Events: taskEvents}}
	cfg.JetStream = w.nats.JetStream(t)
	cfg.Caller = endpoint.NewCaller(w.nats.Connect(t), endpoint.CallerConfig{})
	cfg.Identify, cfg.Fail, cfg.Log = w.identify, fail, log
	w.handler = live.New(cfg)
	w.http = httptest.NewUnstartedServer(w.handler)
	w.http.Config.WriteTimeout = 300 * time.Millisecond
	w.http.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if s, ok := c.(*tls.Conn); ok {
			c = s.NetConn()
		}
		if err := c.(*net.TCPConn).SetWriteBuffer(socketBuffer); err != nil {
			t.Error(err)
		}
		return ctx
	}
	for _, set := range options {
		set(w.http)
	}
	if w.http.EnableHTTP2 {
		w.http.StartTLS()
	} else {
		w.http.Start()
	}
	w.http.Client().Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(socketBuffer)
	}
	t.Cleanup(func() {
		w.handler.Drain()
		w.http.Close()
	})
	return w
}

func (w world) create(t testing.TB, store *eventstore.Store) {
	t.Helper()
	if _, err := w.js.CreateStream(t.Context(), eventstore.HistoryConfig(store.Stream())); err != nil {
		t.Fatal(err)
	}
	if err := store.Anchor(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w world) get(ctx context.Context, req getRequest) (note, error) {
	events, _, err := w.notes.Load(ctx, req.ID)
	if err != nil {
		return note{}, err
	}
	if len(events) > 0 {
		if first, ok := events[0].Data.(written); ok && auth.From(ctx).Owns(first.Owner) {
			return note{ID: req.ID, Owner: first.Owner}, nil
		}
	}
	return note{}, endpoint.NotFound("there is no such note")
}

func (w world) identify(req *http.Request) (context.Context, error) {
	token, err := endpoint.BearerToken(req.Header.Get("Authorization"))
	if err != nil || token == "" {
		return req.Context(), err
	}
	id, err := w.tokens.verify(req.Context(), token)
	return auth.With(req.Context(), id, token), err
}

// failure is the body of an error.
type failure struct {
	Code    endpoint.Code
	Message string
	Fields  []endpoint.FieldError
	Gone    bool
}

func fail(w http.ResponseWriter, _ *http.Request, err error) {
	f := failure{Code: endpoint.CodeOf(err), Message: err.Error(), Gone: errors.Is(err, live.ErrGone)}
	if e, ok := errors.AsType[*endpoint.Error](err); ok {
		f.Message, f.Fields = e.Message, e.Fields
	}
	body, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	w.WriteHeader(f.Code.Status())
	_, _ = w.Write(body)
}

// write appends an event to an aggregate.
func write(ctx context.Context, store *eventstore.Store, id string, data event.Data) (event.Event, error) {
	_, tail, err := store.Load(ctx, id)
	if err != nil {
		return event.Event{}, err
	}
	e, err := store.Registry().New(ctx, id, data)
	if err != nil {
		return event.Event{}, err
	}
	events := []event.Event{e}
	_, err = store.Append(ctx, id, tail, events)
	return events[0], err
}

func (w world) note(t testing.TB, id, owner string) event.Event {
	t.Helper()
	return must(t, w.notes, id, written{Owner: owner, Text: "hello"})
}

func (w world) change(t testing.TB, id, text string) event.Event {
	t.Helper()
	return must(t, w.notes, id, changed{Text: text})
}

func must(t testing.TB, store *eventstore.Store, id string, data event.Data) event.Event {
	t.Helper()
	e, err := write(t.Context(), store, id, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// history returns the events of a store that were stored after position.
func history(t testing.TB, store *eventstore.Store, after uint64) []event.Event {
	t.Helper()
	var events []event.Event
	for e, err := range store.Replay(t.Context(), eventstore.Replay{After: after}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e.Event)
	}
	return events
}

// consumers returns how many consumers a stream has.
func (w world) consumers(t testing.TB, stream string) int {
	t.Helper()
	s, err := w.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Consumers
}

// until looks again and again until condition holds.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		if condition() {
			return
		}
		<-tick.C
	}
	t.Fatalf("waited 20 s: %s", what)
}

func (w world) awaitLog(t testing.TB, text string) {
	t.Helper()
	until(t, text+" in the log", func() bool { return strings.Contains(w.logs.String(), text) })
}

// publish stores a message without any regard to what is right.
func (w world) publish(t testing.TB, m *nats.Msg) uint64 {
	t.Helper()
	ack, err := w.js.PublishMsg(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}
