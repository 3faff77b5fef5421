// Package gateway is HTTP outside and endpoints inside. It knows no service: it finds
// them by [discovery], and what their endpoints say of themselves becomes routes, which
// come and go with the services.
//
// Path and query parameters and the JSON body become one request object; the answer
// of the endpoint goes out byte for byte, and its errors as problem+json (RFC 9457).
// A success is 200 with the endpoint's body, {} when there is nothing to say, or 201
// with Location where the method creates something. A response with a version has it
// as its ETag too, see versions.go.
//
// # Who gets a route
//
// Every endpoint whose metadata has http.method, http.path, http.auth and the schemas
// of its request and response, and makes sense: see declared.go. Of two that want the
// same path, or paths that one request could fit both of, the one that was there first
// keeps it; of two that come at once, that of the service whose name comes first. What
// is refused is logged once and shown with the reason by svc.gateway.routes. A service
// that runs in several versions has the routes of all of them, each as its highest
// version says. While NATS can't be asked the routes stay as they are.
//
// # What the gateway checks itself
//
// The token, http.auth, the limits of [Settings], and that parameters have the type of
// their member. The rest is the endpoint's. Of the headers only those named in the
// documentation of /openapi.json go through, in either direction.
package gateway

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"sluice/services/gateway/gatewayapi"
	"sluice/services/gateway/live"
)

// Gateway is the HTTP server. As an [http.Handler] it also works without listening,
// once its routes are known.
type Gateway struct {
	cfg      Config
	own      []ownRoute
	handlers map[string]http.Handler // by first segment of the path
	outer    http.Handler            // what every request goes through
	limits   atomic.Pointer[limits]
	live     *live.Handler // nil without histories
	meters   *meters

	table  atomic.Pointer[table]
	known  chan struct{} // closed when the services have been asked once
	follow following

	checking singleflight.Group // who is ready
	looking  rate.Sometimes     // for services that have gone

	server   *http.Server
	listener net.Listener
	address  string
	serving  chan error

	unmeasure func() error // set by Start

	mu     sync.Mutex
	unused map[net.Conn]struct{} // accepted, nothing received yet
}

// New returns a gateway. It panics when one of the handlers is not for all below one
// segment: a mistake in the program.
func New(cfg Config) *Gateway {
	g := &Gateway{cfg: cfg.withDefaults(), unused: make(map[net.Conn]struct{}), known: make(chan struct{})}
	g.looking.Interval = time.Second
	g.meters = newMeters(g.cfg.Meters)
	g.limits.Store(newLimits(g.cfg.Settings, nil))
	if len(g.cfg.Histories) > 0 {
		g.live = g.newLive()
	}
	g.own = g.ownRoutes()
	g.handlers = make(map[string]http.Handler, len(cfg.Handlers))
	for path, h := range cfg.Handlers {
		segment := strings.Trim(path, "/")
		if path != "/"+segment+"/" || strings.Contains(segment, "/") {
			panic("gateway: handlers are for paths like /sluice.order.v1.OrderService/, not " + path)
		}
		g.handlers[segment] = g.unhurried(h)
	}
	g.table.Store(g.newTable(nil, nil))
	g.outer = g.shared(http.HandlerFunc(g.dispatch))
	g.server = g.newServer()
	if g.live != nil {
		g.server.RegisterOnShutdown(g.live.Drain)
	}
	return g
}

// reserved are paths that no service gets, beside those that the gateway answers.
var reserved = []string{eventsPath, "/metrics"}

// reserves returns what of the gateway's own a route would get in the way of, or "".
func (g *Gateway) reserves(r route) string {
	own := reserved
	for _, o := range g.own {
		_, path, _ := strings.Cut(o.pattern, " ")
		own = append(own, path)
	}
	if r.spec.Service != gatewayapi.Routes.Service {
		_, path := gatewayapi.Routes.Spec().Route()
		own = append(own, path)
	}
	for _, path := range own {
		if newPattern(path).overlaps(r.pattern) { // whatever the method
			return path
		}
	}
	if segment := r.pattern.segments[0]; g.handlers[segment] != nil {
		return "/" + segment + "/"
	}
	return ""
}

// dispatch hands a request to the handler, the gateway's own or the route that it is for.
func (g *Gateway) dispatch(w http.ResponseWriter, req *http.Request) {
	if len(g.handlers) > 0 {
		segment, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
		if h, ok := g.handlers[segment]; ok {
			req.Pattern = "/" + segment + "/"
			trace.SpanFromContext(req.Context()).SetName(spanName(knownMethod(req.Method), req.Pattern)) // unless h knows better
			h.ServeHTTP(w, req)
			return
		}
	}
	if isUnclean(req.URL.EscapedPath()) { // the mux would redirect
		g.unrouted(w, req)
		return
	}
	g.table.Load().mux.ServeHTTP(w, req)
}

// unhurried lets h write for as long as it likes: the server's limit is for answers
// that are one piece.
func (g *Gateway) unhurried(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := limitWrite(http.NewResponseController(w), time.Time{}); err != nil {
			g.fail(w, req, err)
			return
		}
		h.ServeHTTP(w, req)
	})
}
