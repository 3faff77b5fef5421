package telemetry

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
)

const (
	headerBaggage  = "baggage"
	baggageBytes   = 1 << 10
	baggageMembers = 16
)

// withBaggage is the process-wide propagator where OTEL_PROPAGATORS asks for baggage.
type withBaggage struct{ propagation.TraceContext }

// propagator returns the process-wide one for the value of OTEL_PROPAGATORS, and what
// it asks for that there is not.
func propagator(asked string) (p propagation.TextMapPropagator, unknown []string) {
	p = propagation.TraceContext{}
	for name := range strings.SplitSeq(asked, ",") {
		switch name = strings.TrimSpace(name); name {
		case "", "tracecontext":
		case "baggage":
			p = withBaggage{}
		default:
			unknown = append(unknown, name)
		}
	}
	return p, slices.Compact(unknown)
}

func carriesBaggage() bool {
	_, carries := otel.GetTextMapPropagator().(withBaggage)
	return carries
}

// Inject is that of the trace and of baggage, for code that knows the process-wide
// propagator alone.
func (p withBaggage) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	p.TraceContext.Inject(ctx, c)
	injectBaggage(ctx, c)
}

// Extract is the counterpart of Inject.
func (p withBaggage) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	return p.TraceContext.Extract(extractBaggage(ctx, c), c)
}

// Fields returns the names of the headers.
func (p withBaggage) Fields() []string { return append(p.TraceContext.Fields(), headerBaggage) }

func injectBaggage(ctx context.Context, c propagation.TextMapCarrier) {
	b := baggage.FromContext(ctx)
	if text := b.String(); text != "" && len(text) <= baggageBytes && b.Len() <= baggageMembers {
		c.Set(headerBaggage, text)
	}
}

// extractBaggage takes all of it or, where it is malformed or too much, none.
func extractBaggage(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	text := c.Get(headerBaggage)
	if text == "" || len(text) > baggageBytes {
		return ctx
	}
	b, err := baggage.Parse(text)
	if err != nil || b.Len() > baggageMembers {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, b)
}
