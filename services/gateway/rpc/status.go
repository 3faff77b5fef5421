package rpc

import (
	"context"
	"errors"
	"log/slog"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"sluice/pkg/endpoint"
)

// statusStale is what an error has that says that if-match does not hold.
const statusStale = 412

// code returns what e is for the protocols.
func code(e *endpoint.Error) connect.Code {
	switch e.Code {
	case endpoint.CodeInvalid:
		return connect.CodeInvalidArgument
	case endpoint.CodeUnauthenticated:
		return connect.CodeUnauthenticated
	case endpoint.CodeForbidden:
		return connect.CodePermissionDenied
	case endpoint.CodeNotFound:
		return connect.CodeNotFound
	case endpoint.CodeConflict:
		if e.Status() == statusStale {
			return connect.CodeFailedPrecondition
		}
		return connect.CodeAborted
	case endpoint.CodeRateLimited:
		return connect.CodeResourceExhausted
	case endpoint.CodeUnavailable:
		return connect.CodeUnavailable
	case endpoint.CodeDeadline:
		return connect.CodeDeadlineExceeded
	default:
		return connect.CodeInternal
	}
}

// status returns what of err is for the caller's eyes.
func status(err error) *connect.Error {
	if errors.Is(err, context.Canceled) {
		return connect.NewError(connect.CodeCanceled, errors.New("the call was cancelled"))
	}
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok && errors.Is(err, context.DeadlineExceeded) {
		e, ok = endpoint.Deadline("the time for this call ran out"), true
	}
	if !ok || code(e) == connect.CodeInternal {
		return connect.NewError(connect.CodeInternal, errors.New("internal error"))
	}
	s := connect.NewError(code(e), errors.New(e.Message))
	if len(e.Fields) > 0 {
		violations := make([]*errdetails.BadRequest_FieldViolation, len(e.Fields))
		for i, f := range e.Fields {
			violations[i] = &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Message}
		}
		addDetail(s, &errdetails.BadRequest{FieldViolations: violations})
	}
	if e.RetryAfter > 0 {
		addDetail(s, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	return s
}

// addDetail leaves out what can't be encoded, such as text that is not UTF-8: the status
// says enough.
func addDetail(s *connect.Error, m proto.Message) {
	if d, err := connect.NewErrorDetail(m); err == nil {
		s.AddDetail(d)
	}
}

func invalid(field, message string) *endpoint.Error {
	return endpoint.Invalid("the request is not valid", endpoint.FieldError{Field: field, Message: message})
}

// answer makes the error of each call fit for outside.
func (cfg Config) answer() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			res, err := next(ctx, req)
			if err != nil {
				return nil, cfg.failed(ctx, req.Spec(), err)
			}
			ended(ctx, 0)
			return res, nil
		}
	}
}

// failed logs err, since the gateway's own line has the status of HTTP alone, which is
// 200, and returns what of it goes out.
func (cfg Config) failed(ctx context.Context, spec connect.Spec, err error) *connect.Error {
	s := status(err)
	ended(ctx, s.Code())
	level := slog.LevelInfo
	switch s.Code() {
	case connect.CodeInternal:
		level = slog.LevelError
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		level = slog.LevelWarn
	default:
	}
	cfg.Log.LogAttrs(ctx, level, "call failed", slog.String("procedure", spec.Procedure),
		slog.String("code", s.Code().String()), slog.String("error", err.Error()))
	return s
}
