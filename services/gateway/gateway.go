// Package gateway is HTTP outside and endpoints inside. It knows no service: routes,
// parameters and their types come from the [endpoint.Spec] of each method.
//
// Path and query parameters and the JSON body become one request object; the answer
// of the endpoint goes out byte for byte, and its errors as problem+json (RFC 9457).
// A success is 200 with the endpoint's body, {} when there is nothing to say, or 201
// with Location where the method creates something.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
)

// Config is what a gateway needs.
type Config struct {
	Addr   string // where to listen, "127.0.0.1:8080"; port 0 takes a free one
	Caller *endpoint.Caller
	Routes []endpoint.Spec // those without HTTP are left out

	// Intakes are the streams, by entity, that take CloudEvents from outside; without
	// any there is no route for events. They are published through JetStream.
	Intakes   map[string]string
	JetStream jetstream.JetStream

	Log     *slog.Logger                // default: discards
	Ready   func(context.Context) error // one more condition for /readyz; nil means none
	Timeout time.Duration               // for each request, from its headers to the answer; default 10 s

	// Listening, when set, is told where the gateway listens, with the port it got.
	Listening func(address string)
}

const (
	maxBody           = 1 << 20
	maxHeader         = 64 << 10
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	writeGrace        = 10 * time.Second // to send the answer, after the request's timeout
	unusedGrace       = 250 * time.Millisecond
)

// Gateway is the HTTP server. As an [http.Handler] it also works without listening.
type Gateway struct {
	cfg      Config
	mux      *http.ServeMux
	services []string // behind the routes
	server   *http.Server
	listener net.Listener
	serving  chan error

	mu     sync.Mutex
	unused map[net.Conn]struct{} // accepted, nothing received yet
}

// New returns a gateway for cfg.Routes. It panics when two routes conflict or a
// parameter is no member of its request: mistakes in the program.
func New(cfg Config) *Gateway {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	g := &Gateway{cfg: cfg, mux: http.NewServeMux(), unused: make(map[net.Conn]struct{})}
	g.mux.HandleFunc("GET /healthz", g.healthz)
	g.mux.HandleFunc("GET /readyz", g.readyz)
	if len(cfg.Intakes) > 0 {
		g.mux.HandleFunc("POST "+eventsPath, g.accept)
	}
	for _, spec := range cfg.Routes {
		if spec.HTTP == "" {
			continue
		}
		r, err := newRoute(spec)
		if err != nil {
			panic(fmt.Sprintf("route of %s: %v", spec.Subject, err))
		}
		g.mux.HandleFunc(spec.HTTP, func(w http.ResponseWriter, req *http.Request) { g.forward(w, req, r) })
		if !slices.Contains(g.services, spec.Service) {
			g.services = append(g.services, spec.Service)
		}
	}
	g.server = &http.Server{
		Handler: g, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: cfg.Timeout + writeGrace, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn), ConnState: g.watch,
	}
	return g
}

// Start listens; from then on requests are served.
func (g *Gateway) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", g.cfg.Addr)
	if err != nil {
		if s, ok := errors.AsType[*os.SyscallError](err); ok {
			err = s.Err
		}
		return fmt.Errorf("listen on %s: %w", g.cfg.Addr, err)
	}
	g.listener = listener
	base := context.WithoutCancel(ctx)
	g.server.BaseContext = func(net.Listener) context.Context { return base }
	g.serving = make(chan error, 1)
	go func() { g.serving <- g.server.Serve(listener) }()
	if g.cfg.Listening != nil {
		g.cfg.Listening(g.Addr())
	}
	return nil
}

// Addr returns where the gateway listens, with the port it got. It is empty before
// Start.
func (g *Gateway) Addr() string {
	if g.listener == nil {
		return ""
	}
	return g.listener.Addr().String()
}

// Stop accepts no more connections, answers the requests in flight and closes their
// connections. When ctx ends first the rest is cut off and Stop returns an error.
func (g *Gateway) Stop(ctx context.Context) error {
	if g.listener == nil {
		return nil
	}
	var unused sync.WaitGroup
	done := make(chan struct{})
	unused.Go(func() { g.closeUnused(done) })
	err := g.server.Shutdown(ctx)
	close(done)
	unused.Wait()
	if err != nil {
		err = errors.Join(fmt.Errorf("finish HTTP requests: %w", err), g.server.Close())
	}
	if served := <-g.serving; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve HTTP: %w", served))
	}
	g.serving <- http.ErrServerClosed
	return err
}

// watch keeps track of connections on which nothing has come yet. Clients open some
// in reserve, and [http.Server.Shutdown] would wait five seconds for each.
func (g *Gateway) watch(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state == http.StateNew {
		g.unused[c] = struct{}{}
		return
	}
	delete(g.unused, c)
}

// closeUnused gives unused connections a moment for a request that is on its way, and
// closes them unless done comes first.
func (g *Gateway) closeUnused(done <-chan struct{}) {
	timer := time.NewTimer(unusedGrace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.unused {
		if err := c.Close(); err != nil {
			g.cfg.Log.Debug("client is gone", "error", err)
		}
	}
}
