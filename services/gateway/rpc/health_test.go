package rpc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
)

const (
	serving    = grpc_health_v1.HealthCheckResponse_SERVING
	notServing = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	unknown    = grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN

	userService  = "sluice.user.v1.UserService"
	orderService = "sluice.order.v1.OrderService"
)

func TestHealthCheck(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{})
	ill := new(atomic.Bool)
	server := endpoint.Serve(w.srv.Connect(t), endpoint.ServiceConfig{
		Name: "user", Version: "1.0.0", Health: map[string]func() error{"heart": func() error {
			if ill.Load() {
				return errors.New("it misses a beat")
			}
			return nil
		}},
	})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	health := grpc_health_v1.NewHealthClient(w.dial(t))
	check := func(when string, want map[string]grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for name, s := range want {
			if got, err := health.Check(as(t, ""), &grpc_health_v1.HealthCheckRequest{Service: name}); err != nil || got.GetStatus() != s {
				t.Errorf("%s %q is %v, %v", when, name, got.GetStatus(), err)
			}
		}
	}
	type statuses = map[string]grpc_health_v1.HealthCheckResponse_ServingStatus
	check("without orders", statuses{"": notServing, userService: serving, orderService: notServing, "grpc.health.v1.Health": serving})
	stop := w.serve(t, "order")
	check("with both", statuses{"": serving, userService: serving, orderService: serving})
	ill.Store(true)
	check("with users ill", statuses{"": notServing, userService: notServing, orderService: serving})
	ill.Store(false)
	stop()
	check("after orders", statuses{"": notServing, userService: serving, orderService: notServing})
	if _, err := health.Check(as(t, ""), &grpc_health_v1.HealthCheckRequest{Service: "sluice.pizza.v1.PizzaService"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
}

func TestHealthWatch(t *testing.T) {
	t.Parallel()
	closing := make(chan struct{})
	w := start(t, rpc.Config{WatchInterval: 10 * time.Millisecond, Closing: closing})
	health := grpc_health_v1.NewHealthClient(w.dial(t))
	watch := func(ctx context.Context, name string) func() (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
		t.Helper()
		stream, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		return func() (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
			res, err := stream.Recv()
			return res.GetStatus(), err
		}
	}
	next := watch(as(t, ""), orderService)
	if got, err := next(); err != nil || got != notServing {
		t.Fatalf("at first %v, %v", got, err)
	}
	stop := w.serve(t, "order")
	if got, err := next(); err != nil || got != serving {
		t.Fatalf("once it is there %v, %v", got, err)
	}
	stop()
	if got, err := next(); err != nil || got != notServing {
		t.Fatalf("once it is gone %v, %v", got, err)
	}
	stranger := watch(as(t, ""), "sluice.pizza.v1.PizzaService")
	if got, err := stranger(); err != nil || got != unknown {
		t.Fatalf("a stranger is %v, %v", got, err)
	}
	close(closing)
	for _, next := range []func() (grpc_health_v1.HealthCheckResponse_ServingStatus, error){next, stranger} {
		if got, err := next(); status.Code(err) != codes.Unavailable {
			t.Errorf("at the end %v, %v", got, err)
		}
	}
}

// A watch goes on for longer than a call may take, whatever it is carried by.
func TestHealthWatchOutlivesCalls(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	closing := make(chan struct{})
	w := start(t, rpc.Config{WatchInterval: 5 * time.Millisecond, Timeout: timeout, Closing: closing})
	t.Cleanup(func() { close(closing) })
	var streams []*connect.ServerStreamForClient[grpc_health_v1.HealthCheckResponse]
	for version, option := range map[int]connect.ClientOption{1: connect.WithGRPCWeb(), 2: connect.WithGRPC()} {
		watch := connect.NewClient[grpc_health_v1.HealthCheckRequest, grpc_health_v1.HealthCheckResponse](
			client(t, version), "http://"+w.addr+"/grpc.health.v1.Health/Watch", option)
		stream, err := watch.CallServerStream(as(t, ""), connect.NewRequest(&grpc_health_v1.HealthCheckRequest{Service: orderService}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stream.Close() })
		streams = append(streams, stream)
	}
	told := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, stream := range streams {
			if !stream.Receive() || stream.Msg().GetStatus() != want {
				t.Fatalf("it is %v, not %v: %v", stream.Msg().GetStatus(), want, stream.Err())
			}
		}
	}
	told(notServing)
	for began := time.Now(); time.Since(began) < 2*timeout; {
		stop := w.serve(t, "order")
		told(serving)
		stop()
		told(notServing)
	}
}

// There is room for a hundred watchers, and for another when one has gone.
func TestHealthWatchIsBounded(t *testing.T) {
	t.Parallel()
	closing := make(chan struct{})
	w := start(t, rpc.Config{WatchInterval: time.Hour, Closing: closing})
	t.Cleanup(func() { close(closing) })
	health := grpc_health_v1.NewHealthClient(w.dial(t))
	watch := func(ctx context.Context) error {
		stream, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		return err
	}
	ctx, cancel := context.WithCancel(as(t, ""))
	defer cancel()
	for range 100 {
		if err := watch(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := watch(as(t, "")); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	for start := time.Now(); ; {
		err := watch(as(t, ""))
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted || time.Since(start) > patience {
			t.Fatalf("after they have gone: %v", err)
		}
	}
}
