package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"sluice/pkg/auth"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/services/gateway/live"
)

// Config is what a gateway needs.
type Config struct {
	Addr    string // where to listen, "127.0.0.1:8080"; port 0 takes a free one
	Version string // of what it serves, for those who read /openapi.json; default "dev"
	// Caller must not prove who this process is, or a request without a token would
	// become one of the gateway's own.
	Caller *endpoint.Caller
	// Discovery finds the services whose endpoints become routes.
	Discovery *discovery.Client
	// Verify returns whom a token belongs to, or why it is no good. Without it every
	// token is refused.
	Verify func(ctx context.Context, token string) (auth.Identity, error)
	// Handlers serve what lies below their path, "/sluice.order.v1.OrderService/". They
	// see to identity and limits of time themselves.
	Handlers map[string]http.Handler
	// Intakes are the streams, by entity, that take CloudEvents from outside; without
	// any there is no route for events. They are published through JetStream.
	Intakes map[string]string
	// Histories are what GET /v1/events streams; without any there is no such route.
	Histories []live.History
	JetStream jetstream.JetStream

	Log *slog.Logger // default: discards
	// Meters take what the requests do, in OpenTelemetry's way: package telemetry has the
	// names. The default is the process's provider.
	Meters   metric.MeterProvider
	Ready    func(context.Context) error // one more condition for /readyz; nil means none
	Settings Settings
	// Absence is how long a route whose last instance has gone answers that nobody serves
	// it, so that clients come again, before there is no such route; default 1 m.
	Absence time.Duration
	// Listening, when set, is told where the gateway listens, with the port it got.
	Listening func(address string)
}

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	writeGrace        = 10 * time.Second // to send the answer, after the request's timeout
	discoveryPatience = 5 * time.Second  // for the first answers of services, at start
	maxStreams        = 250              // requests at once on one HTTP/2 connection
)

func (c Config) withDefaults() Config {
	c.Version = cmp.Or(c.Version, "dev")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.Absence = cmp.Or(c.Absence, time.Minute)
	c.Settings = c.Settings.withDefaults()
	return c
}
