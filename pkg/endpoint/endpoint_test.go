package endpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bojanz/currency"
	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
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

type item struct {
	ProductID string          `json:"product_id" validate:"required,max=8"`
	Quantity  int             `json:"quantity" validate:"min=1"`
	Price     currency.Amount `json:"price"`
}

type createRequest struct {
	UserID string    `json:"user_id" validate:"required"`
	Items  []item    `json:"items" validate:"min=1,max=3,dive"`
	Due    time.Time `json:"due,omitzero"`
	Note   *string   `json:"note,omitempty" validate:"omitempty,max=4"`
	Secret string    `json:"secret,omitempty"`
}

func (r createRequest) Validate() []endpoint.FieldError {
	if r.UserID == "nobody" {
		return []endpoint.FieldError{{Field: "user_id", Message: "must be somebody"}}
	}
	return nil
}

func (r createRequest) Redact() any {
	r.Secret = ""
	return r
}

type order struct {
	ID    string `json:"id"`
	Items int    `json:"items"`
}

var create = endpoint.Method[createRequest, order]{
	Service: "order", Name: "create", Description: "Create an order.",
	HTTP: "POST /v1/orders", Location: "/v1/orders/{id}", Idempotent: true, Auth: endpoint.Public,
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

type service struct {
	srv    *natstest.Server
	server *endpoint.Server
	caller *endpoint.Caller
	logs   *logs
}

// serve runs create with h until the test ends.
func serve(t *testing.T, cfg endpoint.ServiceConfig, h func(context.Context, createRequest) (order, error)) service {
	t.Helper()
	s := service{srv: natstest.Start(t), logs: &logs{}}
	s.server = serveOn(t, s.srv, s.logs, cfg, h)
	s.caller = endpoint.NewCaller(s.srv.Connect(t), endpoint.CallerConfig{})
	return s
}

func serveOn(t *testing.T, srv *natstest.Server, to *logs, cfg endpoint.ServiceConfig, h func(context.Context, createRequest) (order, error)) *endpoint.Server {
	t.Helper()
	cfg.Name, cfg.Version = "order", "1.0.0"
	cfg.Log = telemetry.NewLogger(to, "json", slog.LevelDebug)
	server := endpoint.Serve(srv.Connect(t), cfg, endpoint.Handle(create, h))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return server
}

func accept(context.Context, createRequest) (order, error) { return order{ID: "o-1"}, nil }

func good() createRequest {
	price, err := currency.NewAmount("19.99", "EUR")
	if err != nil {
		panic(err)
	}
	return createRequest{UserID: "u-1", Items: []item{{ProductID: "p-1", Quantity: 2, Price: price}}}
}

func TestCallCarriesContext(t *testing.T) {
	t.Parallel()
	type seen struct {
		md     event.Metadata
		waits  []endpoint.Position
		trace  string
		left   time.Duration
		amount string
	}
	got := make(chan seen, 2)
	s := serve(t, endpoint.ServiceConfig{Verify: verify}, func(ctx context.Context, r createRequest) (order, error) {
		deadline, _ := ctx.Deadline()
		got <- seen{event.MetadataFrom(ctx), endpoint.Waits(ctx), telemetry.TraceID(ctx), time.Until(deadline), r.Items[0].Price.String()}
		endpoint.Wrote(ctx, "ORDERS", 7)
		endpoint.Wrote(ctx, "ORDERS", 5)
		return order{ID: "o-1", Items: len(r.Items)}, nil
	})
	ctx, span := telemetry.Start(t.Context(), "test")
	defer span.End()
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: "c-1", UserID: "u-8"})
	ctx = auth.With(ctx, auth.Identity{User: "u-9"}, "user u-9")
	ctx = endpoint.ReadYourWrites(endpoint.WithIdempotencyKey(ctx, "k"))
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()

	o, err := endpoint.Call(ctx, s.caller, create, good())
	if err != nil || o.ID != "o-1" || o.Items != 1 {
		t.Fatalf("Call = %+v, %v", o, err)
	}
	first := <-got
	if first.md.CorrelationID != "c-1" || first.md.UserID != "u-9" || !first.md.Keyed || len(first.md.Fingerprint) != 32 ||
		first.md.CausationID != event.DeriveID("command", "u-9", "k") {
		t.Errorf("metadata = %+v", first.md)
	}
	if first.trace != telemetry.TraceID(ctx) || first.trace == "" {
		t.Errorf("trace id %q, want %q", first.trace, telemetry.TraceID(ctx))
	}
	if first.left <= 0 || first.left > 3*time.Second || len(first.waits) != 0 || first.amount != "19.99 EUR" {
		t.Errorf("first request saw %+v", first)
	}

	again := good()
	again.Secret = "other"
	if _, err := endpoint.Call(ctx, s.caller, create, again); err != nil {
		t.Fatal(err)
	}
	second := <-got
	if second.md.CausationID != first.md.CausationID || second.md.Fingerprint != first.md.Fingerprint {
		t.Errorf("a repeat with another secret differs: %+v, %+v", first.md, second.md)
	}
	if len(second.waits) != 1 || second.waits[0] != (endpoint.Position{Stream: "ORDERS", Sequence: 7}) {
		t.Errorf("waits = %v", second.waits)
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	fields := []endpoint.FieldError{{Field: "email", Message: "is taken"}}
	for _, c := range []struct {
		err     error
		code    endpoint.Code
		status  string
		message string
	}{
		{endpoint.Invalid("wrong", fields...), endpoint.CodeInvalid, "400", "wrong"},
		{endpoint.Unauthenticated("who"), endpoint.CodeUnauthenticated, "401", "who"},
		{endpoint.Forbidden("no"), endpoint.CodeForbidden, "403", "no"},
		{fmt.Errorf("wrapped: %w", endpoint.NotFound("gone", fields...)), endpoint.CodeNotFound, "404", "gone"},
		{endpoint.Conflict("taken", fields...), endpoint.CodeConflict, "409", "taken"},
		{endpoint.RateLimited("slow", 1500*time.Millisecond), endpoint.CodeRateLimited, "429", "slow"},
		{endpoint.Unavailable("later").After(1500 * time.Millisecond).Because(errors.New("s3cret")), endpoint.CodeUnavailable, "503", "later"},
		{endpoint.Deadline("late"), endpoint.CodeDeadline, "504", "late"},
		{fmt.Errorf("load: %w", context.DeadlineExceeded), endpoint.CodeDeadline, "504", "the time for this request ran out"},
		{errors.New("s3cret"), endpoint.CodeInternal, "500", "internal error"},
		{&endpoint.Error{Code: "odd", Message: "s3cret"}, endpoint.CodeInternal, "500", "internal error"},
	} {
		t.Run(string(c.code)+" "+c.message, func(t *testing.T) {
			t.Parallel()
			s := serve(t, endpoint.ServiceConfig{}, func(ctx context.Context, _ createRequest) (order, error) {
				endpoint.Wrote(ctx, "ORDERS", 3)
				return order{}, c.err
			})
			_, err := endpoint.Call(t.Context(), s.caller, create, good())
			e, ok := errors.AsType[*endpoint.Error](err)
			if !ok || e.Code != c.code || e.Message != c.message {
				t.Fatalf("got %v", err)
			}
			want, _ := errors.AsType[*endpoint.Error](c.err)
			if want != nil && c.code != endpoint.CodeInternal && (len(e.Fields) != len(want.Fields) || e.RetryAfter != want.RetryAfter) {
				t.Errorf("got %+v, want %+v", e, want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v gives internals away", err)
			}
			msg, err := s.srv.Connect(t).Request(create.Subject(), []byte(`{"user_id":"u","items":[{"product_id":"p","quantity":1,"price":{"number":"1","currency":"EUR"}}]}`), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if msg.Header.Get("Nats-Service-Error-Code") != c.status || msg.Header.Get("Nats-Service-Error") != c.message ||
				msg.Header.Get(endpoint.HeaderCorrelationID) == "" || msg.Header.Get(endpoint.HeaderPosition) != "ORDERS=3" {
				t.Errorf("headers %v", msg.Header)
			}
			if strings.Contains(string(msg.Data), "s3cret") {
				t.Errorf("body gives internals away: %s", msg.Data)
			}
			if c.code == endpoint.CodeInternal && !strings.Contains(s.logs.String(), "s3cret") {
				t.Errorf("the log does not tell what was wrong: %s", s.logs)
			}
		})
	}
}

func TestPanicIsInternal(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, func(context.Context, createRequest) (order, error) { panic("s3cret") })
	for range 2 {
		_, err := endpoint.Call(t.Context(), s.caller, create, good())
		if endpoint.CodeOf(err) != endpoint.CodeInternal || strings.Contains(err.Error(), "s3cret") {
			t.Fatalf("got %v", err)
		}
	}
	if out := s.logs.String(); strings.Count(out, `"msg":"request failed"`) != 2 || !strings.Contains(out, "endpoint_test.go") ||
		!strings.Contains(out, "trace_id") || !strings.Contains(out, "correlation_id") {
		t.Errorf("log: %s", out)
	}
}

func TestTransportErrorsAreToldApart(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, endpoint.ServiceConfig{}, func(ctx context.Context, _ createRequest) (order, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return order{}, ctx.Err()
	})
	defer close(release)

	nobody := create
	nobody.Name = "nobody"
	_, err := endpoint.Call(t.Context(), s.caller, nobody, good())
	if endpoint.CodeOf(err) != endpoint.CodeUnavailable || !errors.Is(err, endpoint.ErrNoResponders) || errors.Is(err, endpoint.ErrUnreachable) ||
		!strings.Contains(err.Error(), "nobody serves svc.order.nobody") {
		t.Errorf("no responders: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = endpoint.Call(ctx, s.caller, create, good())
	if endpoint.CodeOf(err) != endpoint.CodeDeadline || errors.Is(err, endpoint.ErrNoResponders) || errors.Is(err, endpoint.ErrUnreachable) {
		t.Errorf("timeout: %v", err)
	}

	nc := s.srv.Connect(t)
	nc.Close()
	_, err = endpoint.Call(t.Context(), endpoint.NewCaller(nc, endpoint.CallerConfig{}), create, good())
	if endpoint.CodeOf(err) != endpoint.CodeUnavailable || !errors.Is(err, endpoint.ErrUnreachable) || errors.Is(err, endpoint.ErrNoResponders) {
		t.Errorf("closed: %v", err)
	}

	awaitUnfinished(t, s.srv, 0)
	gone := make(chan struct{}, 1)
	nc = s.srv.Connect(t, nats.DisconnectErrHandler(func(*nats.Conn, error) { gone <- struct{}{} }))
	s.srv.Stop()
	<-gone
	_, err = endpoint.Call(t.Context(), endpoint.NewCaller(nc, endpoint.CallerConfig{}), create, good())
	if endpoint.CodeOf(err) != endpoint.CodeUnavailable || !errors.Is(err, endpoint.ErrUnreachable) {
		t.Errorf("disconnected: %v", err)
	}
}
