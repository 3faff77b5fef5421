package telemetry

import (
	"context"
	"io"
	"log/slog"
	"math"
	"slices"

	"sluice/pkg/event"
)

// NewLogger returns a logger that writes to w, as JSON when format is "json" and as
// text otherwise, what is of the level or above; [Levels] say it in more detail. Lines
// logged with a context (InfoContext and its like) carry trace_id and correlation_id of
// that context, at the top level also when the logger has a group.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.Level(math.MinInt)} // ours decides
	var h slog.Handler
	if format == "json" {
		h = slog.NewJSONHandler(w, opts)
	} else {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(newHandler(h, level, traceAndCorrelation))
}

// handler adds the ids of the context to each record. A group that was opened would
// swallow them, so what was done since the first group is kept and done again on top
// of the ids.
type handler struct {
	level   slog.Leveler
	service string // that the lines are about
	ids     func(context.Context) []slog.Attr

	root    slog.Handler // before the first group
	grouped []func(slog.Handler) slog.Handler
	current slog.Handler // root with grouped applied
}

func newHandler(to slog.Handler, level slog.Leveler, ids func(context.Context) []slog.Attr) *handler {
	return &handler{level: level, ids: ids, root: to, current: to}
}

// serviceAttr is the attribute that says which service a line is about.
const serviceAttr = "service"

func traceAndCorrelation(ctx context.Context) []slog.Attr {
	ids := make([]slog.Attr, 0, 2)
	if id := TraceID(ctx); id != "" {
		ids = append(ids, slog.String("trace_id", id))
	}
	return append(ids, correlation(ctx)...)
}

// correlation is for records that have the trace beside their attributes.
func correlation(ctx context.Context) []slog.Attr {
	if id := event.MetadataFrom(ctx).CorrelationID; id != "" {
		return []slog.Attr{slog.String("correlation_id", id)}
	}
	return nil
}

// Enabled implements [slog.Handler].
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// Handle implements [slog.Handler].
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if levels, ok := h.level.(*Levels); ok && r.Level < levels.load().of(h.service, r.PC) {
		return nil
	}
	ids := h.ids(ctx)
	if len(ids) == 0 {
		return h.current.Handle(ctx, r)
	}
	if len(h.grouped) == 0 {
		r = r.Clone()
		r.AddAttrs(ids...)
		return h.current.Handle(ctx, r)
	}
	out := h.root.WithAttrs(ids)
	for _, apply := range h.grouped {
		out = apply(out)
	}
	return out.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	if len(h.grouped) == 0 {
		next := *h
		next.root = h.root.WithAttrs(attrs)
		next.current = next.root
		for _, a := range attrs {
			if a.Key == serviceAttr {
				next.service = a.Value.String()
			}
		}
		return &next
	}
	return h.then(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements [slog.Handler].
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.then(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *handler) then(apply func(slog.Handler) slog.Handler) slog.Handler {
	next := *h
	next.grouped = append(slices.Clip(h.grouped), apply)
	next.current = apply(h.current)
	return &next
}
