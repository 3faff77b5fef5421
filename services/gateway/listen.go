package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// unusedGrace is how long connections that nothing has come on are kept when stopping.
const unusedGrace = 250 * time.Millisecond

func (g *Gateway) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // with prior knowledge, as gRPC clients have it
	return &http.Server{
		Handler: g, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: g.cfg.Settings.Timeout + writeGrace, MaxHeaderBytes: int(g.cfg.Settings.MaxHeader),
		Protocols: protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelWarn), ConnState: g.watch,
	}
}

// Start listens, and asks for the services: when it returns, those that run now are
// reachable. When they can't be asked in time, it starts without them, is not ready and
// goes on asking.
func (g *Gateway) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", g.cfg.Addr)
	if err != nil {
		if s, ok := errors.AsType[*os.SyscallError](err); ok {
			err = s.Err
		}
		return fmt.Errorf("listen on %s: %w", g.cfg.Addr, err)
	}
	address := listener.Addr()
	scheme := "http"
	listener = netutil.LimitListener(listener, g.cfg.Settings.MaxConnections)
	if t := g.cfg.Settings.TLS; t.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return errors.Join(fmt.Errorf("the certificate of the gateway: %w", err), listener.Close())
		}
		g.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		scheme = "https"
	}
	if g.unmeasure, err = g.measureStreams(); err != nil {
		return errors.Join(fmt.Errorf("measure the streams of events: %w", err), listener.Close())
	}
	if err := g.startFollowing(ctx); err != nil {
		return errors.Join(err, g.unmeasure(), listener.Close())
	}
	base := context.WithoutCancel(ctx)
	g.server.BaseContext = func(net.Listener) context.Context { return base }
	g.listener, g.address = listener, address.String()
	g.serving = make(chan error, 1)
	go func() {
		if g.server.TLSConfig != nil {
			g.serving <- g.server.ServeTLS(listener, "", "")
			return
		}
		g.serving <- g.server.Serve(listener)
	}()
	if g.cfg.Listening != nil {
		g.cfg.Listening(scheme + "://" + g.address)
	}
	return nil
}

// Addr returns where the gateway listens, with the port it got. It is empty before
// Start.
func (g *Gateway) Addr() string { return g.address }

// Stop accepts no more connections, answers the requests in flight and closes their
// connections. When ctx ends first the rest is cut off and Stop returns an error.
func (g *Gateway) Stop(ctx context.Context) error {
	defer g.stopFollowing()
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
	if unmeasured := g.unmeasure(); unmeasured != nil {
		err = errors.Join(err, fmt.Errorf("give up the meters: %w", unmeasured))
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
