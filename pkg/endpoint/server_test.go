package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

// callMany makes n calls at once and returns their errors as they come.
func callMany(ctx context.Context, c *endpoint.Caller, n int) <-chan error {
	results := make(chan error, n)
	for range n {
		go func() {
			_, err := endpoint.Call(ctx, c, create, good())
			results <- err
		}()
	}
	return results
}

func TestStopAnswersWhatHasArrived(t *testing.T) {
	t.Parallel()
	const n = 200
	srv := natstest.Start(t)
	entered, release := make(chan struct{}, n), make(chan struct{})
	server := serveOn(t, srv, &logs{}, endpoint.ServiceConfig{Concurrency: 16}, func(context.Context, createRequest) (order, error) {
		entered <- struct{}{}
		<-release
		return order{}, nil
	})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{Timeout: 10 * time.Second})
	results := callMany(t.Context(), caller, n)
	for range 16 {
		<-entered
	}
	awaitUnfinished(t, srv, n)

	stopped := make(chan error, 1)
	go func() { stopped <- server.Stop(t.Context()) }()
	awaitNoResponders(t, caller)
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned %v with requests in flight", err)
	default:
	}
	close(release)
	for range n {
		if err := <-results; err != nil {
			t.Errorf("in flight at Stop: %v", err)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// awaitUnfinished waits until n requests have arrived, as the service's statistics tell.
func awaitUnfinished(t *testing.T, srv *natstest.Server, n int) {
	t.Helper()
	nc := srv.Connect(t)
	for t.Context().Err() == nil {
		msg, err := nc.RequestWithContext(t.Context(), "$SRV.STATS.order", nil)
		if err != nil {
			t.Fatal(err)
		}
		var stats micro.Stats
		if err := json.Unmarshal(msg.Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			var s endpoint.Stats
			if err := json.Unmarshal(e.Data, &s); err != nil {
				t.Fatal(err)
			}
			if e.Name == create.Name && s.Unfinished == n {
				return
			}
		}
	}
}

// awaitNoResponders waits until the service takes no new requests. The health
// endpoint answers as long as it is there.
func awaitNoResponders(t *testing.T, c *endpoint.Caller) {
	t.Helper()
	for {
		_, err := endpoint.Call(t.Context(), c, endpoint.Health("order"), struct{}{})
		if errors.Is(err, endpoint.ErrNoResponders) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStopLosesNothingWithASecondInstance(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	var served atomic.Int64
	h := func(context.Context, createRequest) (order, error) {
		served.Add(1)
		return order{}, nil
	}
	first := serveOn(t, srv, &logs{}, endpoint.ServiceConfig{}, h)
	serveOn(t, srv, &logs{}, endpoint.ServiceConfig{}, h)
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})

	const callers, calls = 20, 200
	half := make(chan struct{})
	var done atomic.Int64
	results := make(chan error, callers)
	for range callers {
		go func() {
			var failed error
			for range calls {
				if _, err := endpoint.Call(t.Context(), caller, create, good()); err != nil {
					failed = err
				}
				if done.Add(1) == callers*calls/2 {
					close(half)
				}
			}
			results <- failed
		}()
	}
	<-half
	if err := first.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := served.Load(); got != callers*calls {
		t.Errorf("%d requests served, want %d", got, callers*calls)
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	entered := make(chan struct{})
	server := serveOn(t, srv, &logs{}, endpoint.ServiceConfig{}, func(ctx context.Context, _ createRequest) (order, error) {
		close(entered)
		<-ctx.Done()
		return order{}, fmt.Errorf("wait: %w", ctx.Err())
	})
	results := callMany(t.Context(), endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{}), 1)
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := server.Stop(ctx); err == nil || !strings.Contains(err.Error(), "1 requests did not finish") {
		t.Errorf("Stop = %v", err)
	}
	if err := <-results; endpoint.CodeOf(err) != endpoint.CodeUnavailable {
		t.Errorf("the abandoned caller got %v", err)
	}
}

func TestOverloadIsRefused(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	release := make(chan struct{})
	serveOn(t, srv, &logs{}, endpoint.ServiceConfig{Concurrency: 2, Queue: 3}, func(context.Context, createRequest) (order, error) {
		<-release
		return order{}, nil
	})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})
	results := callMany(t.Context(), caller, 12)
	for range 7 {
		err := <-results
		e, ok := errors.AsType[*endpoint.Error](err)
		if !ok || e.Code != endpoint.CodeUnavailable || e.RetryAfter != time.Second {
			t.Fatalf("got %v", err)
		}
	}
	close(release)
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestServiceShowsItself(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{
		Description: "Orders.",
		Health:      map[string]func() error{"view": func() error { return errors.New("behind") }, "bus": func() error { return nil }},
	}, accept)
	msg, err := s.srv.Connect(t).RequestWithContext(t.Context(), "$SRV.INFO.order", nil)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		t.Fatal(err)
	}
	if info.Name != "order" || info.Description != "Orders." || len(info.Endpoints) != 2 {
		t.Fatalf("info %+v", info)
	}
	md := info.Endpoints[0].Metadata
	for name, want := range map[string]string{
		"description": "Create an order.", "http.method": "POST", "http.path": "/v1/orders",
		"http.location": "/v1/orders/{id}", "idempotent": "true",
		"schema.request":  `{"type":"object","properties":{"user_id":{"type":"string","minLength":1},"items":{"type":"array","items":{"type":"object","properties":{"product_id":{"type":"string","minLength":1,"maxLength":8},"quantity":{"type":"integer","minimum":1},"price":{"type":"object","properties":{"currency":{"type":"string"},"number":{"type":"string"}},"required":["number","currency"]}},"required":["product_id","quantity","price"],"additionalProperties":false},"minItems":1,"maxItems":3},"due":{"type":"string","format":"date-time"},"note":{"type":"string","maxLength":4},"secret":{"type":"string"}},"required":["user_id","items"],"additionalProperties":false}`,
		"schema.response": `{"type":"object","properties":{"id":{"type":"string"},"items":{"type":"integer"}},"required":["id","items"],"additionalProperties":false}`,
	} {
		if md[name] != want {
			t.Errorf("metadata %s = %s, want %s", name, md[name], want)
		}
	}
	health, err := endpoint.Call(t.Context(), s.caller, endpoint.Health("order"), struct{}{})
	if err != nil || health.Status != endpoint.StatusFailing || health.Checks["view"] != endpoint.StatusFailing || health.Checks["bus"] != endpoint.StatusOK {
		t.Errorf("health %+v, %v", health, err)
	}
}

func TestTooLargeResponseIsInternal(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, func(context.Context, createRequest) (order, error) {
		return order{ID: strings.Repeat("x", 2<<20)}, nil
	})
	if _, err := endpoint.Call(t.Context(), s.caller, create, good()); endpoint.CodeOf(err) != endpoint.CodeInternal {
		t.Errorf("got %v", err)
	}
	big := good()
	big.Secret = strings.Repeat("x", 2<<20)
	if _, err := endpoint.Call(t.Context(), s.caller, create, big); endpoint.CodeOf(err) != endpoint.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestServeRefusesWrongWiring(t *testing.T) {
	t.Parallel()
	foreign := create
	foreign.Service = "user"
	badRoute := create
	badRoute.HTTP = "POST orders"
	undeclared := create
	undeclared.Auth = ""
	for name, wire := range map[string]func(){
		"foreign": func() {
			endpoint.Serve(nil, endpoint.ServiceConfig{Name: "order"}, endpoint.Handle(foreign, accept))
		},
		"twice": func() {
			endpoint.Serve(nil, endpoint.ServiceConfig{Name: "order"}, endpoint.Handle(create, accept), endpoint.Handle(create, accept))
		},
		"route":     func() { endpoint.Handle(badRoute, accept) },
		"no access": func() { endpoint.Handle(undeclared, accept) },
		"not a struct": func() {
			endpoint.Handle(endpoint.Method[string, string]{Service: "a", Name: "b", Auth: endpoint.Public}, func(context.Context, string) (string, error) { return "", nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			wire()
		})
	}
}

func TestStartFailsClearly(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	server := endpoint.Serve(nc, endpoint.ServiceConfig{Name: "order", Version: "one"})
	if err := server.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "serve order") {
		t.Errorf("Start = %v", err)
	}
	if !nc.IsClosed() {
		t.Error("the connection is still open")
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
