package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

// blocking is a handler that ends with its context.
type blocking struct {
	entered chan string // user ids
	ended   chan error
}

func newBlocking() blocking {
	return blocking{make(chan string, 100), make(chan error, 100)}
}

func (b blocking) handle(ctx context.Context, r createRequest) (order, error) {
	b.entered <- r.UserID
	<-ctx.Done()
	b.ended <- ctx.Err()
	return order{}, ctx.Err()
}

// call asks for user in the background.
func call(ctx context.Context, c *endpoint.Caller, user string) <-chan error {
	result := make(chan error, 1)
	go func() {
		req := good()
		req.UserID = user
		_, err := endpoint.Call(ctx, c, create, req)
		result <- err
	}()
	return result
}

// statsOf returns the statistics of create.
func statsOf(t *testing.T, nc *nats.Conn) endpoint.Stats {
	t.Helper()
	msg, err := nc.RequestWithContext(t.Context(), "$SRV.STATS.order", nil)
	if err != nil {
		t.Fatal(err)
	}
	var stats micro.Stats
	if err := json.Unmarshal(msg.Data, &stats); err != nil {
		t.Fatal(err)
	}
	for _, e := range stats.Endpoints {
		if e.Name == create.Name {
			var s endpoint.Stats
			if err := json.Unmarshal(e.Data, &s); err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatal("the endpoint is not there")
	return endpoint.Stats{}
}

func TestCancelledCallerStopsTheWork(t *testing.T) {
	t.Parallel()
	b := newBlocking()
	s := serve(t, endpoint.ServiceConfig{Timeout: time.Hour, MaxTimeout: time.Hour}, b.handle)
	patient := endpoint.NewCaller(s.srv.Connect(t), endpoint.CallerConfig{Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	result := call(ctx, patient, "u-1")
	bystanders, release := context.WithCancel(t.Context())
	other := call(bystanders, patient, "u-2")
	<-b.entered
	<-b.entered
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || endpoint.CodeOf(err) != endpoint.CodeUnavailable {
		t.Errorf("the caller got %v", err)
	}
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v", err)
	}
	select {
	case err := <-b.ended:
		t.Errorf("another call ended with %v", err)
	case err := <-other:
		t.Errorf("another caller got %v", err)
	default:
	}
	release()
	<-b.ended
	<-other
	nc := s.srv.Connect(t)
	for statsOf(t, nc).Cancelled != 2 {
		if t.Context().Err() != nil {
			t.Fatal("two requests were cancelled, and the statistics never say so")
		}
	}
	if got := statsOf(t, nc); got.Errors != 0 {
		t.Errorf("cancelled requests count as errors: %+v", got)
	}
	if out := s.logs.String(); strings.Contains(out, `"level":"WARN"`) {
		t.Errorf("cancelled requests are logged as if something was wrong: %s", out)
	}
}

func TestCancelledCallerLeavesTheQueue(t *testing.T) {
	t.Parallel()
	b := newBlocking()
	s := serve(t, endpoint.ServiceConfig{Concurrency: 1}, b.handle)
	ctx, cancel := context.WithCancel(t.Context())
	first := call(ctx, s.caller, "u-1")
	<-b.entered
	waiting, giveUp := context.WithCancel(t.Context())
	second := call(waiting, s.caller, "u-2")
	awaitUnfinished(t, s.srv, 2)
	giveUp()
	<-second
	awaitUnfinished(t, s.srv, 1)
	cancel()
	<-first
	awaitUnfinished(t, s.srv, 0)
	third, end := context.WithCancel(t.Context())
	last := call(third, s.caller, "u-3")
	if user := <-b.entered; user != "u-3" {
		t.Errorf("the request of %s ran", user)
	}
	end()
	<-last
}

// The word that a request was given up may come before the request itself.
func TestCancelBeforeTheRequest(t *testing.T) {
	t.Parallel()
	b := newBlocking()
	s := serve(t, endpoint.ServiceConfig{}, b.handle)
	nc := s.srv.Connect(t)
	early, body := nc.NewInbox(), []byte(`{"user_id":"early","items":[{"product_id":"p","quantity":1,"price":{"number":"1","currency":"EUR"}}]}`)
	if err := nc.Publish("svc.order.requests.cancel", []byte(early)); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	// What is told is heard in its order: once this one has ended, so was the other.
	ctx, cancel := context.WithCancel(t.Context())
	call(ctx, s.caller, "u-1")
	<-b.entered
	cancel()
	<-b.ended
	if err := nc.PublishRequest(create.Subject(), early, body); err != nil {
		t.Fatal(err)
	}
	for statsOf(t, nc).Cancelled != 2 {
		if t.Context().Err() != nil {
			t.Fatal("the request was not recognised")
		}
	}
	select {
	case user := <-b.entered:
		t.Errorf("the request of %s ran", user)
	default:
	}
}

func TestForgedCancelDoesNothing(t *testing.T) {
	t.Parallel()
	b := newBlocking()
	s := serve(t, endpoint.ServiceConfig{Timeout: 2 * time.Second}, b.handle)
	nc := s.srv.Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	result := call(ctx, s.caller, "u-1")
	<-b.entered
	// A request without a reply subject is nobody's to cancel.
	if err := nc.Publish(create.Subject(), []byte(`{"user_id":"silent","items":[{"product_id":"p","quantity":1,"price":{"number":"1","currency":"EUR"}}]}`)); err != nil {
		t.Fatal(err)
	}
	<-b.entered
	for _, verb := range []string{"cancel", "credit", "else"} {
		for _, word := range []string{"", " ", " 5", "x", nc.NewInbox(), nc.NewInbox() + " 5", "_INBOX.>", "*", strings.Repeat("x", 100_000)} {
			if err := nc.Publish("svc.order.requests."+verb, []byte(word)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	barrier, end := context.WithCancel(t.Context())
	call(barrier, s.caller, "u-2")
	<-b.entered
	end()
	<-b.ended
	select {
	case err := <-b.ended:
		t.Errorf("a forged word ended a request: %v", err)
	case err := <-result:
		t.Errorf("a forged word ended a call: %v", err)
	default:
	}
	cancel()
	<-result
	<-b.ended
	if err := <-b.ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the silent request ended with %v", err)
	}
}

func TestRepliesUseTheInboxPrefix(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, accept)
	var own, others atomic.Int64
	nc := s.srv.Connect(t)
	for subject, n := range map[string]*atomic.Int64{"_INBOX_shop.>": &own, "_INBOX.>": &others} {
		if _, err := nc.Subscribe(subject, func(*nats.Msg) { n.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	caller := endpoint.NewCaller(s.srv.Connect(t, nats.CustomInboxPrefix("_INBOX_shop")), endpoint.CallerConfig{})
	for range 3 {
		if _, err := endpoint.Call(t.Context(), caller, create, good()); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for own.Load() < 3 && t.Context().Err() == nil {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if own.Load() != 3 || others.Load() != 0 {
		t.Errorf("%d replies under the prefix, %d elsewhere", own.Load(), others.Load())
	}
}

// Callers that give up at any moment never get the reply of another call.
func TestRepliesFindTheirCalls(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, func(_ context.Context, r createRequest) (order, error) { return order{ID: r.UserID}, nil })
	const callers, calls = 16, 300
	results := make(chan error, callers)
	var answered atomic.Int64
	for i := range callers {
		go func() {
			limit := 2 * time.Millisecond // what about half of the calls take, on any machine
			for n := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(limit))
				req := good()
				req.UserID = strconv.Itoa(i) + "-" + strconv.Itoa(n)
				got, err := endpoint.Call(ctx, s.caller, create, req)
				cancel()
				switch {
				case err == nil && got.ID != req.UserID:
					results <- errors.New("the reply of another call: " + got.ID)
					return
				case err == nil:
					answered.Add(1)
					limit -= limit / 10
				case endpoint.CodeOf(err) == endpoint.CodeDeadline:
					limit += limit / 10
				default:
					results <- err
					return
				}
			}
			results <- nil
		}()
	}
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := answered.Load(); n == 0 || n == callers*calls {
		t.Errorf("%d calls of %d were answered in time, which shows nothing", n, callers*calls)
	}
	if _, err := endpoint.Call(t.Context(), s.caller, create, good()); err != nil {
		t.Error(err)
	}
}

func TestPendingCallsEndWithTheConnection(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(srv *natstest.Server, nc *nats.Conn) error{
		"the server goes": func(srv *natstest.Server, _ *nats.Conn) error { srv.Stop(); return nil },
		"it is closed":    func(_ *natstest.Server, nc *nats.Conn) error { nc.Close(); return nil },
		"it is drained":   func(_ *natstest.Server, nc *nats.Conn) error { return nc.Drain() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			entered := make(chan struct{})
			silent := srv.Connect(t)
			if _, err := silent.Subscribe(create.Subject(), func(*nats.Msg) { close(entered) }); err != nil {
				t.Fatal(err)
			}
			if err := silent.Flush(); err != nil {
				t.Fatal(err)
			}
			nc := srv.Connect(t)
			result := call(t.Context(), endpoint.NewCaller(nc, endpoint.CallerConfig{Timeout: time.Hour}), "u-1")
			<-entered
			if err := lose(srv, nc); err != nil {
				t.Fatal(err)
			}
			if err := <-result; !errors.Is(err, endpoint.ErrUnreachable) || endpoint.CodeOf(err) != endpoint.CodeUnavailable {
				t.Errorf("the caller got %v", err)
			}
		})
	}
}

func TestCallsWorkAfterAReconnection(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	serveOn(t, srv, &logs{}, endpoint.ServiceConfig{}, accept)
	caller := endpoint.NewCaller(srv.Connect(t, nats.ReconnectWait(5*time.Millisecond)), endpoint.CallerConfig{})
	if _, err := endpoint.Call(t.Context(), caller, create, good()); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	for !errors.Is(func() error { _, err := endpoint.Call(t.Context(), caller, create, good()); return err }(), endpoint.ErrUnreachable) {
		if t.Context().Err() != nil {
			t.Fatal("nobody notices that the server is gone")
		}
	}
	srv.Restart(t)
	for {
		_, err := endpoint.Call(t.Context(), caller, create, good())
		if err == nil {
			return
		}
		if code := endpoint.CodeOf(err); code != endpoint.CodeUnavailable {
			t.Fatal(err)
		}
	}
}

func TestHandlersContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	kept := make(chan context.Context, 1)
	s := serve(t, endpoint.ServiceConfig{}, func(ctx context.Context, r createRequest) (order, error) {
		switch r.UserID {
		case "computes":
			for ctx.Err() == nil { // and never waits
			}
			return order{}, ctx.Err()
		case "derives":
			inner, cancel := context.WithTimeout(context.WithValue(ctx, key{}, "v"), time.Hour)
			defer cancel()
			<-inner.Done()
			if inner.Value(key{}) != "v" || !errors.Is(context.Cause(inner), context.DeadlineExceeded) {
				t.Errorf("the derived context ended with %v", context.Cause(inner))
			}
			stopped := make(chan struct{})
			context.AfterFunc(ctx, func() { close(stopped) })
			<-stopped
			return order{}, inner.Err()
		default:
			kept <- ctx
			return order{}, nil
		}
	})
	for _, user := range []string{"computes", "derives"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := <-call(ctx, s.caller, user); endpoint.CodeOf(err) != endpoint.CodeDeadline {
			t.Errorf("%s: %v", user, err)
		}
		cancel()
	}
	awaitUnfinished(t, s.srv, 0)
	if err := <-call(t.Context(), s.caller, "keeps"); err != nil {
		t.Fatal(err)
	}
	ctx := <-kept
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("after the reply the context ends with %v", ctx.Err())
	}
}
