package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"sluice/pkg/event"
)

// NewLogger returns a logger that writes to w, as JSON when format is "json" and as
// text otherwise. Lines logged with a context (InfoContext and its like) carry
// trace_id and correlation_id of that context, at the top level also when the
// logger has a group.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler
	if format == "json" {
		h = slog.NewJSONHandler(w, opts)
	} else {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(&handler{root: h, current: h})
}

// handler adds the ids of the context to each record. A group that was opened would
// swallow them, so what was done since the first group is kept and done again on top
// of the ids.
type handler struct {
	root    slog.Handler // before the first group
	grouped []func(slog.Handler) slog.Handler
	current slog.Handler // root with grouped applied
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.current.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	ids := make([]slog.Attr, 0, 2)
	if id := TraceID(ctx); id != "" {
		ids = append(ids, slog.String("trace_id", id))
	}
	if id := event.MetadataFrom(ctx).CorrelationID; id != "" {
		ids = append(ids, slog.String("correlation_id", id))
	}
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

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	if len(h.grouped) == 0 {
		next := h.root.WithAttrs(attrs)
		return &handler{root: next, current: next}
	}
	return h.then(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.then(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *handler) then(apply func(slog.Handler) slog.Handler) slog.Handler {
	grouped := append(slices.Clip(h.grouped), apply)
	return &handler{root: h.root, grouped: grouped, current: apply(h.current)}
}
