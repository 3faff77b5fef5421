package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// ServeHTTP gives the request its ids, has it answered and writes its line in the log.
func (g *Gateway) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	start := time.Now()
	correlation := correlationID(req.Header)
	w := &recorder{ResponseWriter: out}
	ctx := context.WithValue(req.Context(), recorderKey{}, w)
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: correlation})
	ctx, span := telemetry.Start(telemetry.Extract(ctx, traceHeader(req.Header)), spanName(knownMethod(req.Method), ""), asServer)
	defer span.End()
	defer g.meters.begun(ctx, req)()
	req = req.WithContext(ctx)
	h := w.Header()
	h.Set(endpoint.HeaderCorrelationID, correlation)
	h.Set("X-Content-Type-Options", "nosniff")

	aborted := g.guarded(w, req)

	if w.status == 0 {
		w.status = http.StatusOK // as the server has it for an answer of trailers alone
	}
	kind := w.kind(req, aborted)
	describe(span, kind)
	g.meters.answered(ctx, kind, time.Since(start))
	level := slog.LevelInfo
	if req.Pattern == "GET /healthz" || req.Pattern == "GET /readyz" {
		level = slog.LevelDebug
	}
	if g.cfg.Log.Enabled(ctx, level) {
		g.record(ctx, level, w, req, start)
	}
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

// record writes the line in the log.
func (g *Gateway) record(ctx context.Context, level slog.Level, w *recorder, req *http.Request, start time.Time) {
	attrs := append(make([]slog.Attr, 0, 8),
		slog.String("method", method(req.Method)), slog.String("route", req.Pattern),
		slog.Int("status", w.status), slog.Int64("bytes", w.bytes), slog.Duration("duration", time.Since(start)),
		slog.String("client", g.limits.Load().address(req)))
	if id := w.identity; id.User != "" {
		attrs = append(attrs, slog.String("user_id", id.User))
	} else if id.Service != "" {
		attrs = append(attrs, slog.String("caller", id.Service))
	}
	g.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// guarded has the request answered. A panic is answered with a problem; when something
// has been sent already, or the panic asks for it, the connection is to be broken off.
func (g *Gateway) guarded(w *recorder, req *http.Request) (abort bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			abort = true
			return
		}
		g.cfg.Log.ErrorContext(req.Context(), "panic", "value", v, "stack", string(debug.Stack()))
		if w.status != 0 {
			abort = true
			return
		}
		g.fail(w, req, &endpoint.Error{Code: endpoint.CodeInternal})
	}()
	g.outer.ServeHTTP(w, req)
	return false
}

// isUnclean reports whether a path has empty segments or dots in it, a slash at its end
// or none at its beginning. No route is like that.
func isUnclean(escaped string) bool {
	return !strings.HasPrefix(escaped, "/") || path.Clean(escaped) != escaped
}

// unrouted tells an unknown path from a known one with another method.
func (g *Gateway) unrouted(w http.ResponseWriter, req *http.Request) {
	req.Pattern = "" // what the client made up is no route
	if err := g.Health(); err != nil {
		g.fail(w, req, endpoint.Unavailable("the routes are not known yet").After(time.Second).Because(err))
		return
	}
	var allowed []string
	if escaped := req.URL.EscapedPath(); !isUnclean(escaped) {
		for _, p := range g.table.Load().patterns {
			if !p.fits(escaped) {
				continue
			}
			allowed = append(allowed, p.verb)
			if p.verb == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	if len(allowed) == 0 {
		g.fail(w, req, g.missing(req.URL.EscapedPath()))
		return
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(slices.Compact(allowed), ", "))
	g.fail(w, req, newFault(http.StatusMethodNotAllowed, "this route does not take this method"))
}

// missing is the answer where there is no route. When there was one a moment ago, whoever
// served it is likely to be back soon: the gateway asks for the services, now and then.
func (g *Gateway) missing(escaped string) error {
	former := g.table.Load().former
	i := slices.IndexFunc(former, func(a absent) bool { return a.pattern.fits(escaped) })
	if i < 0 {
		return endpoint.NotFound("there is no such route")
	}
	if g.cfg.Discovery != nil {
		g.looking.Do(g.cfg.Discovery.Recheck)
	}
	if time.Since(former[i].since) < g.cfg.Absence {
		return endpoint.Unavailable("nobody serves this route now").After(time.Second)
	}
	return endpoint.NotFound("there is no such route")
}

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
