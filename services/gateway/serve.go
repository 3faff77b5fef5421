package gateway

import (
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// recorder remembers the status that was sent.
type recorder struct {
	http.ResponseWriter

	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ServeHTTP gives the request its ids, routes it and writes its line in the log.
func (g *Gateway) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	start := time.Now()
	correlation := correlationID(req.Header)
	ctx := event.WithMetadata(req.Context(), event.Metadata{CorrelationID: correlation})
	ctx, span := telemetry.Start(telemetry.Extract(ctx, traceHeader(req.Header)), req.Method, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	req = req.WithContext(ctx)
	w := &recorder{ResponseWriter: out}
	w.Header().Set(endpoint.HeaderCorrelationID, correlation)

	g.guarded(w, req)

	if req.Pattern != "" {
		span.SetName(req.Pattern)
	}
	level := slog.LevelInfo
	if req.Pattern == "GET /healthz" || req.Pattern == "GET /readyz" {
		level = slog.LevelDebug
	}
	g.cfg.Log.LogAttrs(ctx, level, "request",
		slog.String("method", method(req.Method)), slog.String("route", req.Pattern),
		slog.Int("status", w.status), slog.Duration("duration", time.Since(start)))
}

// guarded answers a panic with a problem, if nothing has been sent.
func (g *Gateway) guarded(w *recorder, req *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		g.cfg.Log.ErrorContext(req.Context(), "panic", "value", v, "stack", string(debug.Stack()))
		if w.status != 0 {
			panic(http.ErrAbortHandler)
		}
		g.fail(w, req, &endpoint.Error{Code: endpoint.CodeInternal})
	}()
	switch h, pattern := g.mux.Handler(req); {
	case path.Clean(req.URL.Path) != req.URL.Path: // the mux would redirect
		g.fail(w, req, endpoint.NotFound("there is no such route"))
	case pattern == "":
		g.unrouted(w, req, h)
	default:
		g.mux.ServeHTTP(w, req)
	}
}

// unrouted tells an unknown path from a known one with another method, which only the
// mux's own answer knows.
func (g *Gateway) unrouted(w *recorder, req *http.Request, h http.Handler) {
	answer := discarded{header: make(http.Header)}
	h.ServeHTTP(&answer, req)
	if answer.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", answer.header.Get("Allow"))
		g.fail(w, req, newFault(http.StatusMethodNotAllowed, "this route does not take this method"))
		return
	}
	g.fail(w, req, endpoint.NotFound("there is no such route"))
}

// discarded keeps of an answer what is not its body.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }

func correlationID(h http.Header) string {
	if ids := h.Values(endpoint.HeaderCorrelationID); len(ids) == 1 && endpoint.ValidCorrelationID(ids[0]) {
		return ids[0]
	}
	return event.NewID()
}

// traceHeader returns the W3C trace context under the names that NATS messages use.
// More than one traceparent is none.
func traceHeader(h http.Header) nats.Header {
	out := make(nats.Header, 2)
	if parents := h.Values("Traceparent"); len(parents) == 1 {
		out["traceparent"] = parents
		out["tracestate"] = []string{strings.Join(h.Values("Tracestate"), ",")}
	}
	return out
}

// method keeps what clients make up out of the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}
