package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/auth"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// answer carries out one request, from its headers to its reply.
func (s *Server) answer(base context.Context, h Handler, l *lane, m incoming) {
	correlation := correlationID(m.header)
	ctx := event.WithMetadata(telemetry.Extract(base, m.header), event.Metadata{CorrelationID: correlation})
	ctx, span := telemetry.Start(ctx, h.spec.Subject, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()

	x := &exchange{}
	body, err := s.carryOut(context.WithValue(ctx, exchangeKey{}, x), h, x, m, correlation)

	code := CodeOf(err)
	l.stats.requests.Add(1)
	l.stats.nanoseconds.Add(int64(time.Since(m.arrived)))
	switch code {
	case CodeInternal, CodeUnavailable, CodeDeadline:
		l.stats.errors.Add(1)
		span.SetStatus(codes.Error, string(code))
	default:
	}
	s.record(ctx, h.spec.Subject, m, x, err)

	reply := nats.Header{HeaderCorrelationID: {correlation}}
	if p := x.positions(); p != "" {
		reply[HeaderPosition] = []string{p}
	}
	s.reply(ctx, m, reply, body, err)
}

// carryOut makes the request's context and runs the handler in it.
func (s *Server) carryOut(ctx context.Context, h Handler, x *exchange, m incoming, correlation string) ([]byte, error) {
	left, err := timeout(m.header, s.cfg.Timeout, s.cfg.MaxTimeout)
	if err != nil {
		return nil, err
	}
	position, err := single(m.header, HeaderPosition)
	if err != nil {
		return nil, err
	}
	if x.waits, err = parsePositions(position); err != nil {
		return nil, err
	}
	if x.expected, x.expects, err = expectedVersion(m.header); err != nil {
		return nil, err
	}
	if ctx, err = s.identify(ctx, h.spec.Auth, m.header); err != nil {
		return nil, err
	}
	md, err := metadata(m.header, correlation, auth.From(ctx))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(event.WithMetadata(ctx, md), m.arrived.Add(left))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return protect(ctx, h, m.body)
}

// panicError is what a panicking handler leads to.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func (e *panicError) Stack() string { return e.stack }

// panicked is an error made of a panic, here or further down.
type panicked interface {
	error
	Stack() string
}

func protect(ctx context.Context, h Handler, body []byte) (out []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, &panicError{value: v, stack: string(debug.Stack())}
		}
	}()
	return h.serve(ctx, body)
}

// record logs the request: in full when something is wrong with us, briefly when it
// wrote something, and else only for those who debug.
func (s *Server) record(ctx context.Context, subject string, m incoming, x *exchange, err error) {
	attrs := []slog.Attr{slog.String("subject", subject), slog.Duration("duration", time.Since(m.arrived))}
	code, position := CodeOf(err), x.positions()
	level := slog.LevelDebug
	switch code {
	case "":
		if position != "" {
			level = slog.LevelInfo
			attrs = append(attrs, slog.String("position", position))
		}
	case CodeInternal:
		level = slog.LevelError
	case CodeUnavailable, CodeDeadline:
		level = slog.LevelWarn
	default:
	}
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	if err == nil {
		s.cfg.Log.LogAttrs(ctx, level, "request answered", attrs...)
		return
	}
	attrs = append(attrs, slog.String("code", string(code)), slog.String("error", err.Error()))
	if p, ok := errors.AsType[panicked](err); ok {
		attrs = append(attrs, slog.String("stack", p.Stack()))
	}
	s.cfg.Log.LogAttrs(ctx, level, "request failed", attrs...)
}

// wireError is the body of an error reply.
type wireError struct {
	Code         Code         `json:"code"`
	Message      string       `json:"message"`
	Fields       []FieldError `json:"fields,omitempty"`
	RetryAfterMS int64        `json:"retry_after_ms,omitzero"`
}

// reply sends body, or what err says to the outside. Nobody may be waiting for it.
func (s *Server) reply(ctx context.Context, m incoming, h nats.Header, body []byte, err error) {
	if m.reply == "" {
		return
	}
	if err == nil {
		err = s.nc.PublishMsg(&nats.Msg{Subject: m.reply, Header: h, Data: body})
		if !errors.Is(err, nats.ErrMaxPayload) {
			s.lost(ctx, err)
			return
		}
		s.cfg.Log.ErrorContext(ctx, "response is larger than NATS takes", "bytes", len(body))
	}
	e := coded(err)
	h[headerErrorCode] = []string{strconv.Itoa(e.Status())}
	h[headerError] = []string{e.Message}
	body, err = json.Marshal(wireError{
		Code: e.Code, Message: e.Message, Fields: e.Fields, RetryAfterMS: e.RetryAfter.Milliseconds(),
	})
	if err != nil {
		body = nil
	}
	s.lost(ctx, s.nc.PublishMsg(&nats.Msg{Subject: m.reply, Header: h, Data: body}))
}

func (s *Server) lost(ctx context.Context, err error) {
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "reply was not sent", "error", err)
	}
}
