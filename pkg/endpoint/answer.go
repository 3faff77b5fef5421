package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// answer carries out one request, from its headers to its reply.
func (s *Server) answer(h Handler, l *lane, r *request) {
	ctx, span := telemetry.Start(telemetry.Extract(s.base, r.header), h.spec.Subject, l.span...)
	defer r.end()
	err := s.prepare(ctx, h.spec, r)
	var body []byte
	switch {
	case err != nil:
	case h.spec.Streaming:
		err = s.stream(h, r)
	default:
		body, err = protect(h, r)
	}
	took := time.Since(r.arrived)
	l.stats.requests.Add(1)
	l.stats.nanoseconds.Add(int64(took))
	if r.gaveUp.Load() {
		l.stats.cancelled.Add(1)
		s.meters.answered(ctx, l, took, cancelled)
		endSpan(span, cancelled)
		s.cfg.Log.DebugContext(r.values, "request given up by its caller", "subject", h.spec.Subject)
		return
	}
	code := CodeOf(err)
	switch code {
	case CodeInternal, CodeUnavailable, CodeDeadline:
		l.stats.errors.Add(1)
	default:
	}
	s.meters.answered(ctx, l, took, code)
	s.record(h.spec.Subject, r, err)
	s.reply(r, body, err)
	endSpan(span, code)
}

// prepare makes r a context over ctx, of what its headers say.
func (s *Server) prepare(ctx context.Context, spec Spec, r *request) error {
	md := event.Metadata{CorrelationID: r.header.Get(HeaderCorrelationID)}
	if !ValidCorrelationID(md.CorrelationID) {
		// Nothing began before this command, so its id names all that follows.
		md.CorrelationID = event.NewID()
		md.CausationID = md.CorrelationID
	}
	ctx, err := s.read(ctx, spec, r, &md)
	r.correlation, r.values = md.CorrelationID, event.WithMetadata(ctx, md)
	if r.out != nil {
		r.out.correlation = r.correlation
	}
	if err != nil {
		return err
	}
	return r.Err()
}

// read takes the headers of r apart. It returns ctx with who sent the request.
func (s *Server) read(ctx context.Context, spec Spec, r *request, md *event.Metadata) (context.Context, error) {
	fallback, most := s.cfg.Timeout, s.cfg.MaxTimeout
	if spec.Streaming {
		fallback = most
		if len(r.header[headerWindow]) > 0 {
			fallback, most = longestStream, longestStream
		}
	}
	left, err := timeout(r.header, fallback, most)
	if err != nil {
		return ctx, err
	}
	r.deadline = r.arrived.Add(left)
	position, err := single(r.header, HeaderPosition)
	if err != nil {
		return ctx, err
	}
	if r.x.waits, err = parsePositions(position); err != nil {
		return ctx, err
	}
	if r.x.expected, r.x.expects, err = expectedVersion(r.header); err != nil {
		return ctx, err
	}
	if ctx, err = s.identify(ctx, spec.Auth, r.header); err != nil {
		return ctx, err
	}
	return ctx, identifyCommand(md, r.header, auth.From(ctx))
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

func protect(h Handler, r *request) (out []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, &panicError{value: v, stack: string(debug.Stack())}
		}
	}()
	return h.serve(r)
}

// record logs the request: in full when something is wrong with us, briefly when it
// wrote something, and else only for those who debug.
func (s *Server) record(subject string, r *request, err error) {
	code, position := CodeOf(err), r.x.positions()
	level := slog.LevelDebug
	switch {
	case code == "" && position != "":
		level = slog.LevelInfo
	case code == CodeInternal:
		level = slog.LevelError
	case code == CodeUnavailable, code == CodeDeadline:
		level = slog.LevelWarn
	}
	ctx := r.values
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("subject", subject), slog.Duration("duration", time.Since(r.arrived))}
	if err == nil {
		if position != "" {
			attrs = append(attrs, slog.String("position", position))
		}
		s.cfg.Log.LogAttrs(ctx, level, "request answered", attrs...)
		return
	}
	attrs = append(attrs, slog.String("code", string(code)), slog.String("error", err.Error()))
	if p, ok := errors.AsType[panicked](err); ok {
		attrs = append(attrs, slog.String("stack", p.Stack()))
	}
	s.cfg.Log.LogAttrs(ctx, level, "request failed", attrs...)
}

// reply sends body, or what err says to the outside. Nobody may be waiting for it.
func (s *Server) reply(r *request, body []byte, err error) {
	switch {
	case r.reply == "":
		return
	case r.out != nil:
		s.lost(r.values, r.out.end(r.x.positions(), err))
		return
	}
	p := newParcel()
	defer p.free()
	p.msg.Subject, p.msg.Data = r.reply, body
	p.set(HeaderCorrelationID, r.correlation)
	p.set(HeaderPosition, r.x.positions())
	if err == nil {
		err = s.nc.PublishMsg(&p.msg)
		if !errors.Is(err, nats.ErrMaxPayload) {
			s.lost(r.values, err)
			return
		}
		s.cfg.Log.ErrorContext(r.values, "response is larger than NATS takes", "bytes", len(body))
	}
	p.msg.Data = coded(err).address(p)
	s.lost(r.values, s.nc.PublishMsg(&p.msg))
}

func (s *Server) lost(ctx context.Context, err error) {
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "reply was not sent", "error", err)
	}
}
