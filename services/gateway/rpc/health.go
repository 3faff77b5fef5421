package rpc

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"google.golang.org/grpc/health/grpc_health_v1"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
)

const (
	healthName     = grpchealth.HealthV1ServiceName
	watchProcedure = "/" + healthName + "/Watch"

	healthTimeout = 2 * time.Second
	maxWatches    = 100
)

// health answers grpc.health.v1.Health for the services behind the calls.
type health struct {
	caller   *endpoint.Caller
	interval time.Duration
	closing  <-chan struct{}
	services map[string][]string // of Sluice, by what is asked for
	watching chan struct{}       // one for each stream
}

func newHealth(cfg Config) *health {
	return &health{
		caller: cfg.Caller, interval: cfg.WatchInterval, closing: cfg.Closing,
		services: map[string][]string{
			"":                              {"user", "order"},
			userv1connect.UserServiceName:   {"user"},
			orderv1connect.OrderServiceName: {"order"},
			healthName:                      {},
		},
		watching: make(chan struct{}, maxWatches),
	}
}

// serving says whether all services behind name are well, by their svc.<name>.health.
func (h *health) serving(ctx context.Context, name string) (serving, known bool) {
	services, known := h.services[name]
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	for _, service := range services {
		status, err := endpoint.Call(ctx, h.caller, endpoint.Health(service), struct{}{})
		if err != nil || status.Status != endpoint.StatusOK {
			return false, known
		}
	}
	return known, known
}

// handler serves Check, within the time of a call, and Watch, which the health package
// leaves out.
func (h *health) handler(cfg Config, options ...connect.HandlerOption) (path string, _ http.Handler) {
	path, checks := grpchealth.NewHandler(h, options...)
	checks = within(cfg.Timeout, checks)
	watches := received(cfg.Timeout, cfg.MaxMessage, connect.NewServerStreamHandlerSimple(watchProcedure, h.watch, options...))
	return path, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == watchProcedure {
			watches.ServeHTTP(w, req)
			return
		}
		checks.ServeHTTP(w, req)
	})
}

// Check tells how one service is, or all together for an empty name.
func (h *health) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	serving, known := h.serving(ctx, req.Service)
	switch {
	case !known:
		return nil, connect.NewError(connect.CodeNotFound, errors.New("there is no such service"))
	case serving:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
	default:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
}

// watch tells how one service is, and again whenever that changes, until the client goes
// or the server closes.
func (h *health) watch(
	ctx context.Context, req *grpc_health_v1.HealthCheckRequest, out *connect.ServerStream[grpc_health_v1.HealthCheckResponse],
) error {
	select {
	case h.watching <- struct{}{}:
		defer func() { <-h.watching }()
	default:
		return connect.NewError(connect.CodeResourceExhausted, errors.New("too many are watching"))
	}
	tick := time.NewTicker(h.interval)
	defer tick.Stop()
	told := grpc_health_v1.HealthCheckResponse_UNKNOWN
	for {
		if now := h.watched(ctx, req.GetService()); now != told {
			if err := out.Send(&grpc_health_v1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-tick.C:
		case <-h.closing:
			return connect.NewError(connect.CodeUnavailable, errors.New("the gateway is closing"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *health) watched(ctx context.Context, name string) grpc_health_v1.HealthCheckResponse_ServingStatus {
	serving, known := h.serving(ctx, name)
	switch {
	case !known:
		return grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
	case serving:
		return grpc_health_v1.HealthCheckResponse_SERVING
	default:
		return grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
}
