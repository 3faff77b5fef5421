package endpoint

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"sluice/pkg/telemetry"
)

// The spans of calls and of requests have the name of the endpoint's subject.
var (
	asClient = trace.WithSpanKind(trace.SpanKindClient)
	asServer = trace.WithSpanKind(trace.SpanKindServer)
)

// startSpan starts the span of a call, unless it would not be recorded: because no span
// is, or because it is part of one in this process that is not.
func startSpan(ctx context.Context, subject string, options []trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanContextFromContext(ctx)
	if !telemetry.Recording() || parent.IsValid() && !parent.IsRemote() && !parent.IsSampled() {
		return ctx, noop.Span{}
	}
	return telemetry.Start(ctx, subject, options...) //nolint:spancheck // whoever asked for it ends it
}

// endSpan ends the span of a call or a request with the code of its error, if there is
// one. What a caller has done wrong is no fault of the service.
func endSpan(span trace.Span, code Code) {
	if code != "" && span.IsRecording() {
		span.SetAttributes(attribute.String("error.type", string(code)))
		switch code {
		case CodeInternal, CodeUnavailable, CodeDeadline:
			span.SetStatus(codes.Error, string(code))
		default:
		}
	}
	span.End()
}
