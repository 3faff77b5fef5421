package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/pkg/resilience"
	"sluice/pkg/telemetry"
)

var query = endpoint.Method[createRequest, order]{
	Service: "order", Name: "create", Description: "As create, but a query.", HTTP: "GET /v1/orders", Idempotent: true, Auth: endpoint.Public,
}

func policies(t testing.TB, to *logs, cfg resilience.Config) *resilience.Set {
	t.Helper()
	set, err := resilience.NewSet(map[string]resilience.Config{"order": cfg}, endpoint.Hooks(telemetry.NewLogger(to, "json", slog.LevelDebug)))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestWhatAnErrorSaysOfTheService(t *testing.T) {
	t.Parallel()
	for want, errs := range map[resilience.Outcome][]error{
		resilience.NotTaken: {
			endpoint.Unavailable("x").Because(endpoint.ErrNoResponders), fmt.Errorf("call: %w", endpoint.Unavailable("x").Because(endpoint.ErrNotTaken)),
		},
		resilience.Failed:   {endpoint.Unavailable("x"), errors.New("x"), &endpoint.Error{Code: endpoint.CodeInternal}},
		resilience.TimedOut: {endpoint.Deadline("x"), context.DeadlineExceeded},
		resilience.Busy:     {endpoint.RateLimited("x", time.Second)},
		resilience.Answered: {
			endpoint.Invalid("x"), endpoint.Unauthenticated("x"), endpoint.Forbidden("x"), endpoint.NotFound("x"), endpoint.Conflict("x"),
		},
		resilience.Ignored: {
			context.Canceled, endpoint.Unavailable("x").Because(context.Canceled),
			endpoint.Unavailable("x").Because(endpoint.ErrUnreachable), endpoint.Invalid("x").Because(endpoint.ErrTooLarge),
		},
	} {
		for _, err := range errs {
			if got := endpoint.Classify(err).Outcome; got != want {
				t.Errorf("%v has outcome %d, want %d", err, got, want)
			}
		}
	}
	if v := endpoint.Classify(endpoint.RateLimited("x", time.Second)); v.RetryAfter != time.Second {
		t.Errorf("the wait that the service asks for is %v", v.RetryAfter)
	}
}

func TestABreakerOpensForAFailingServiceAlone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var says atomic.Pointer[endpoint.Error]
	s := serve(t, endpoint.ServiceConfig{}, func(context.Context, createRequest) (order, error) {
		asked.Add(1)
		return order{}, says.Load()
	})
	set := policies(t, s.logs, resilience.Config{Breaker: resilience.Breaker{Failures: 3}, Retry: resilience.Retry{Attempts: 1}})
	caller := s.caller.With(set)

	says.Store(endpoint.NotFound("no such user"))
	for range 5 {
		if _, err := endpoint.Call(t.Context(), caller, create, good()); endpoint.CodeOf(err) != endpoint.CodeNotFound {
			t.Fatalf("got %v", err)
		}
	}
	says.Store(endpoint.Unavailable("out of order"))
	for range 3 {
		if _, err := endpoint.Call(t.Context(), caller, create, good()); err == nil || !strings.Contains(err.Error(), "out of order") {
			t.Fatalf("got %v, want the service's error, also from the call that opens the breaker", err)
		}
	}
	_, err := endpoint.Call(t.Context(), caller, create, good())
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok || e.Code != endpoint.CodeUnavailable || e.Message != "Service temporarily unavailable" || e.RetryAfter <= 0 || !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("got %v from an open breaker", err)
	}
	if errors.Is(err, endpoint.ErrNoResponders) || errors.Is(err, endpoint.ErrUnreachable) {
		t.Errorf("%v is confused with another", err)
	}
	if asked.Load() != 8 {
		t.Errorf("the service was asked %d times, want 8", asked.Load())
	}
	if out := s.logs.String(); !strings.Contains(out, `"msg":"circuit breaker changed"`) || !strings.Contains(out, `"to":"open"`) || !strings.Contains(out, `"policy":"order"`) {
		t.Errorf("log: %s", out)
	}
	says.Store(endpoint.NotFound("no such user"))
	if _, err := endpoint.Call(t.Context(), s.caller, create, good()); endpoint.CodeOf(err) != endpoint.CodeNotFound {
		t.Errorf("a caller without policies got %v", err)
	}
}

func TestTheConnectionSaysNothingOfTheService(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	nc.Close()
	set := policies(t, &logs{}, resilience.Config{Breaker: resilience.Breaker{Failures: 1}})
	for range 3 {
		_, err := endpoint.Call(t.Context(), endpoint.NewCaller(nc, endpoint.CallerConfig{}).With(set), create, good())
		if !errors.Is(err, endpoint.ErrUnreachable) {
			t.Fatalf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := endpoint.Call(ctx, endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{}).With(set), create, good())
	if _, ok := errors.AsType[*endpoint.Error](err); !ok || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call got %v", err)
	}
	if s := set.Snapshot(); len(s) != 1 || s[0].State != resilience.Closed {
		t.Errorf("the breakers are %+v", s)
	}
}

func TestWhichCallsAreRepeated(t *testing.T) {
	t.Parallel()
	unsafe := query
	unsafe.Idempotent = false
	for name, c := range map[string]struct {
		method endpoint.Method[createRequest, order]
		key    string
		want   int64
	}{
		"a query":                     {query, "", 3},
		"a command without a key":     {create, "", 1},
		"a command with a key":        {create, "k", 3},
		"what is not idempotent":      {unsafe, "", 1},
		"that, although it has a key": {unsafe, "k", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := serve(t, endpoint.ServiceConfig{}, func(context.Context, createRequest) (order, error) {
				asked.Add(1)
				return order{}, endpoint.Unavailable("out of order")
			})
			ctx := t.Context()
			if c.key != "" {
				ctx = endpoint.WithIdempotencyKey(ctx, c.key)
			}
			caller := s.caller.With(policies(t, s.logs, resilience.Config{Retry: resilience.Retry{Backoff: time.Millisecond}}))
			if _, err := endpoint.Call(ctx, caller, c.method, good()); endpoint.CodeOf(err) != endpoint.CodeUnavailable {
				t.Errorf("got %v", err)
			}
			if asked.Load() != c.want {
				t.Errorf("the service was asked %d times, want %d", asked.Load(), c.want)
			}
		})
	}
}

// Nobody serves it at first, so nobody has taken it: also a command is repeated.
func TestACommandWaitsForItsService(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	set := policies(t, &logs{}, resilience.Config{
		Timeout: 30 * time.Second, Retry: resilience.Retry{Attempts: 10, Backoff: 100 * time.Millisecond}, Breaker: resilience.Breaker{Failures: -1},
	})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{}).With(set)
	result := make(chan error, 1)
	go func() {
		_, err := endpoint.Call(t.Context(), caller, create, good())
		result <- err
	}()
	serveOn(t, srv, &logs{}, endpoint.ServiceConfig{}, accept)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// Only the refusal of the service that was asked counts as not taken, and not one that a handler
// met on its way.
func TestNotTakenIsToldApart(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	release := make(chan struct{})
	serveOn(t, srv, &logs{}, endpoint.ServiceConfig{Concurrency: 1, Queue: 1}, func(context.Context, createRequest) (order, error) {
		<-release
		return order{}, endpoint.Unavailable("further down").Because(endpoint.ErrNotTaken)
	})
	results := callMany(t.Context(), endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{}), 3)
	if err := <-results; !errors.Is(err, endpoint.ErrNotTaken) || endpoint.CodeOf(err) != endpoint.CodeUnavailable {
		t.Errorf("the one too many got %v", err)
	}
	close(release)
	for range 2 {
		if err := <-results; errors.Is(err, endpoint.ErrNotTaken) || !strings.Contains(err.Error(), "further down") {
			t.Errorf("one that was taken got %v", err)
		}
	}
}

func TestHealthShowsBreakers(t *testing.T) {
	t.Parallel()
	set := policies(t, &logs{}, resilience.Config{Breaker: resilience.Breaker{Failures: 1}})
	s := serve(t, endpoint.ServiceConfig{Policies: set}, accept)
	elsewhere := create
	elsewhere.Service = "user"
	for _, m := range []endpoint.Method[createRequest, order]{create, elsewhere} {
		for range 3 {
			_, _ = endpoint.Call(t.Context(), s.caller.With(set), m, good())
		}
	}
	got, err := endpoint.Call(t.Context(), s.caller, endpoint.Health("order"), struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != endpoint.StatusOK || len(got.Breakers) != 2 || got.Breakers["order"] != "closed" || got.Breakers["user"] != "open" {
		t.Errorf("health is %+v, want ok, order closed and user open", got)
	}
}

func BenchmarkCallWithPolicies(b *testing.B) {
	srv := natstest.Start(b)
	server := endpoint.Serve(srv.Connect(b), endpoint.ServiceConfig{Name: "order", Version: "1.0.0"}, endpoint.Handle(create, accept))
	if err := server.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	plain := endpoint.NewCaller(srv.Connect(b), endpoint.CallerConfig{})
	guarded := plain.With(policies(b, &logs{}, resilience.Config{
		Bulkhead:  resilience.Bulkhead{Limit: 1000},
		RateLimit: resilience.RateLimit{PerSecond: 1e6},
	}))
	for name, caller := range map[string]*endpoint.Caller{"without": plain, "with": guarded} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := endpoint.Call(b.Context(), caller, create, good()); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	if err := server.Stop(context.Background()); err != nil {
		b.Error(err)
	}
}
