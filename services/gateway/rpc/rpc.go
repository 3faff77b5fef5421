// Package rpc serves users and orders over gRPC, gRPC-Web and Connect (POST of protobuf
// or JSON), all three at the same paths. What there is to call stands in
// proto/sluice/user/v1/user.proto and proto/sluice/order/v1/order.proto, and reflection
// tells it to clients that ask.
//
// A call is a request to the endpoint of the same name and nothing more: the service
// decides, and its coded error becomes the status of the call, with a
// google.rpc.BadRequest for the fields that are wrong and a google.rpc.RetryInfo where
// there is a time to wait for. What HTTP has in headers is metadata here:
//
//	authorization: Bearer <token>      who asks
//	idempotency-key                    makes repeats of a command one command
//	if-match: "<version>"              only while that is the version
//	sluice-position: ORDERS=1234       in an answer what was written, in a query what to wait for
//	sluice-correlation-id, traceparent the names of the request, which the gateway reads
//
// The caller's deadline goes along, and grpc.health.v1.Health tells how the services are.
//
// The code in gen is made by `task generate`.
package rpc

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
)

// Config is what the handlers need.
type Config struct {
	// Caller must not prove who this process is, or a call without a token would become
	// one of the gateway's own.
	Caller *endpoint.Caller
	// Verify returns whom a token belongs to, or why it is no good. Without it every
	// token is refused.
	Verify func(ctx context.Context, token string) (auth.Identity, error)

	Log *slog.Logger // default: discards
	// Meters take what the calls of users and orders do, in OpenTelemetry's way. The
	// default is the process's provider.
	Meters  metric.MeterProvider
	Timeout time.Duration // the most for a call, from its headers to its answer; default 10 s
	// MaxMessage is the most bytes of a request, decompressed; default 1 MiB, which is
	// what NATS takes.
	MaxMessage int

	WatchInterval time.Duration // how often the health of a watched service is looked at; default 5 s
	// Closing ends what would go on for ever, so that the server can stop; nil never does.
	Closing <-chan struct{}
}

// Handlers returns what serves each folder of paths, "/sluice.order.v1.OrderService/".
// Correlation id and trace are those in the context of the HTTP request.
func Handlers(cfg Config) map[string]http.Handler {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.MaxMessage = cmp.Or(cfg.MaxMessage, 1<<20)
	cfg.WatchInterval = cmp.Or(cfg.WatchInterval, 5*time.Second)
	if cfg.Meters == nil {
		cfg.Meters = otel.GetMeterProvider()
	}
	limits := connect.WithHandlerOptions(connect.WithReadMaxBytes(cfg.MaxMessage), boundedGzip(cfg.MaxMessage))
	options := connect.WithHandlerOptions(
		limits, connect.WithRequestGate(cfg.identify), connect.WithInterceptors(cfg.answer()),
	)
	reflector := grpcreflect.NewStaticReflector(
		userv1connect.UserServiceName, orderv1connect.OrderServiceName, healthName,
	)

	handlers := make(map[string]http.Handler)
	mount := func(path string, h http.Handler) { handlers[path] = within(cfg.Timeout, h) }
	mountMeasured := func(path string, h http.Handler) { mount(path, cfg.measured(strings.Trim(path, "/"), h)) }
	mountMeasured(userv1connect.NewUserServiceHandler(newUsers(cfg.Caller), options))
	mountMeasured(orderv1connect.NewOrderServiceHandler(newOrders(cfg.Caller), options))
	mount(grpcreflect.NewHandlerV1(reflector, limits))
	mount(grpcreflect.NewHandlerV1Alpha(reflector, limits))
	path, h := newHealth(cfg).handler(cfg, limits)
	handlers[path] = h
	return handlers
}
