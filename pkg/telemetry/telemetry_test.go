package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

const (
	trace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent = "00-" + trace + "-00f067aa0ba902b7-01"
)

func TestTraceGoesOverMessages(t *testing.T) {
	t.Parallel()
	ctx := telemetry.Extract(t.Context(), nats.Header{"traceparent": {parent}, "tracestate": {"a=1"}})
	if got := telemetry.TraceID(ctx); got != trace {
		t.Fatalf("trace id %q", got)
	}
	ctx, span := telemetry.Start(ctx, "work")
	defer span.End()
	h := nats.Header{"traceparent": {"old", "older"}}
	telemetry.Inject(ctx, h)
	if len(h) != 2 || len(h["traceparent"]) != 1 || !strings.HasPrefix(h["traceparent"][0], "00-"+trace+"-") || h["traceparent"][0] == parent {
		t.Errorf("headers %v", h)
	}
	if got := h["tracestate"]; len(got) != 1 || got[0] != "a=1" {
		t.Errorf("tracestate %v", got)
	}
	if p, s := telemetry.TraceParent(ctx); p != h["traceparent"][0] || s != "a=1" {
		t.Errorf("TraceParent = %q, %q", p, s)
	}
}

func TestTraceGoesThroughEvents(t *testing.T) {
	t.Parallel()
	ctx := telemetry.FromEvent(t.Context(), event.Event{TraceParent: parent})
	if got := telemetry.TraceID(ctx); got != trace {
		t.Errorf("trace id %q", got)
	}
}

func TestMalformedTraceIsNone(t *testing.T) {
	t.Parallel()
	for _, h := range []nats.Header{
		nil,
		{"traceparent": nil},
		{"traceparent": {"nonsense"}},
		{"Traceparent": {parent}},
		{"traceparent": {"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}},
	} {
		ctx := telemetry.Extract(t.Context(), h)
		if got := telemetry.TraceID(ctx); got != "" {
			t.Errorf("%v: trace id %q", h, got)
		}
		out := nats.Header{}
		if telemetry.Inject(ctx, out); len(out) != 0 {
			t.Errorf("%v: injected %v", h, out)
		}
		ctx, span := telemetry.Start(ctx, "root")
		if telemetry.TraceID(ctx) == "" {
			t.Errorf("%v: no new trace", h)
		}
		span.End()
	}
}

func TestLogLinesCarryIDs(t *testing.T) {
	t.Parallel()
	ctx := telemetry.Extract(t.Context(), nats.Header{"traceparent": {parent}})
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: "c-1"})
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{
			"plain", func(l *slog.Logger) { l.InfoContext(ctx, "m", "k", 1) },
			`{"level":"INFO","msg":"m","k":1,"trace_id":"` + trace + `","correlation_id":"c-1"}`,
		},
		{
			"attrs", func(l *slog.Logger) { l.With("a", 1).InfoContext(ctx, "m", "k", 1) },
			`{"level":"INFO","msg":"m","a":1,"k":1,"trace_id":"` + trace + `","correlation_id":"c-1"}`,
		},
		{
			"group", func(l *slog.Logger) {
				l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").InfoContext(ctx, "m", "k", 1)
			},
			`{"level":"INFO","msg":"m","a":1,"trace_id":"` + trace + `","correlation_id":"c-1","g":{"b":2,"h":{"k":1}}}`,
		},
		{
			"empty group", func(l *slog.Logger) { l.WithGroup("").With().InfoContext(ctx, "m", "k", 1) },
			`{"level":"INFO","msg":"m","k":1,"trace_id":"` + trace + `","correlation_id":"c-1"}`,
		},
		{
			"no ids", func(l *slog.Logger) { l.WithGroup("g").Info("m", "k", 1) },
			`{"level":"INFO","msg":"m","g":{"k":1}}`,
		},
		{"level", func(l *slog.Logger) { l.DebugContext(ctx, "m") }, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c.log(telemetry.NewLogger(&out, "json", slog.LevelInfo))
			if got := withoutTime(t, out.Bytes()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// withoutTime removes the first member of a line, its time.
func withoutTime(t *testing.T, line []byte) string {
	t.Helper()
	if len(line) == 0 {
		return ""
	}
	var valid map[string]any
	if err := json.Unmarshal(line, &valid); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	_, rest, _ := strings.Cut(string(line), ",")
	return "{" + strings.TrimSpace(rest)
}

func TestSiblingLoggersDoNotMix(t *testing.T) {
	t.Parallel()
	ctx := event.WithMetadata(t.Context(), event.Metadata{CorrelationID: "c-1"})
	var out bytes.Buffer
	base := telemetry.NewLogger(&out, "text", slog.LevelInfo).WithGroup("g").With("a", 1)
	one, two := base.With("b", 1), base.With("b", 2)
	one.InfoContext(ctx, "m")
	two.InfoContext(ctx, "m")
	if lines := strings.Split(out.String(), "\n"); !strings.Contains(lines[0], "correlation_id=c-1 g.a=1 g.b=1") || !strings.Contains(lines[1], "correlation_id=c-1 g.a=1 g.b=2") {
		t.Errorf("got %s", out.String())
	}
}
