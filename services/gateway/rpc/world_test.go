package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"sluice/pkg/auth"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
	"sluice/services/gateway"
	"sluice/services/gateway/rpc"
)

func TestMain(m *testing.M) {
	shutdown := telemetry.Setup(context.Background(), telemetry.Config{}).Shutdown
	code := m.Run()
	if err := shutdown(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// The tokens that verify takes.
const (
	ada  = "token-of-ada"  // the user u-ada
	olga = "token-of-olga" // an operator
)

func verify(_ context.Context, token string) (auth.Identity, error) {
	switch token {
	case ada:
		return auth.Identity{User: "u-ada"}, nil
	case olga:
		return auth.Identity{User: "u-olga", Roles: []auth.Role{auth.Operator}}, nil
	default:
		return auth.Identity{}, endpoint.Unauthenticated("the token is no good")
	}
}

// world is a gateway with services behind it that a test makes up.
type world struct {
	srv  *natstest.Server
	addr string
	log  *output
	stop func() // the gateway; the test's end does it too
}

// start serves rpc through a gateway until the test ends, over HTTP/1.1 and HTTP/2 on one
// port, as it is in earnest.
func start(t *testing.T, cfg rpc.Config) *world {
	t.Helper()
	w := &world{srv: natstest.Start(t), log: &output{}}
	cfg.Log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Caller = endpoint.NewCaller(w.srv.Connect(t), endpoint.CallerConfig{})
	if cfg.Verify == nil {
		cfg.Verify = verify
	}
	nc := w.srv.Connect(t)
	g := gateway.New(gateway.Config{
		Addr: "127.0.0.1:0", Caller: cfg.Caller, Discovery: discovery.New(nc, discovery.Config{}), Handlers: rpc.Handlers(cfg), Log: cfg.Log,
	})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.addr = g.Addr()
	w.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Stop(ctx); err != nil {
			t.Errorf("the gateway does not stop: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// serve runs a service until the test ends, or until it is stopped.
func (w *world) serve(t *testing.T, name string, handlers ...endpoint.Handler) (stop func()) {
	t.Helper()
	server := endpoint.Serve(w.srv.Connect(t), endpoint.ServiceConfig{Name: name, Version: "1.0.0", Verify: verify}, handlers...)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// dial returns a gRPC connection.
func (w *world) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as returns the test's context with the metadata of a call: who calls, and more, names
// before values.
func as(t *testing.T, token string, more ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	if token != "" {
		more = append(more, "authorization", "Bearer "+token)
	}
	return metadata.AppendToOutgoingContext(ctx, more...)
}

// output is a log that a server and a test may use at once.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// answers returns a handler of m that takes exactly want and answers with res.
func answers[Req, Res any](t *testing.T, m endpoint.Method[Req, Res], want Req, res Res) endpoint.Handler {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	return endpoint.Handle(m, func(_ context.Context, req Req) (Res, error) {
		if got := encode(req); got != encode(want) {
			t.Errorf("%s was asked %s, not %s", m.Subject(), got, encode(want))
		}
		return res, nil
	})
}

// ask makes a call that must be answered with want.
func (w *world) ask(t *testing.T, token, procedure string, req, want proto.Message) {
	t.Helper()
	got := want.ProtoReflect().New().Interface()
	err := w.dial(t).Invoke(as(t, token), procedure, req, got)
	same(t, got, want, err)
}

func same(t *testing.T, got, want proto.Message, err error) {
	t.Helper()
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

// canonical takes the blanks out of JSON, which the library strews in at random.
func canonical(t *testing.T, text string) string {
	t.Helper()
	v := jsontext.Value(text)
	if err := v.Canonicalize(); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return string(v)
}
