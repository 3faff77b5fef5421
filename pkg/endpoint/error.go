package endpoint

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Code classifies an error for the caller, who decides by it what to do next.
type Code string

// The codes, and what each asks of the caller.
const (
	CodeInvalid         Code = "invalid"         // 400: change the request
	CodeUnauthenticated Code = "unauthenticated" // 401: log in
	CodeForbidden       Code = "forbidden"       // 403: not with this identity
	CodeNotFound        Code = "not_found"       // 404: there is no such thing
	CodeConflict        Code = "conflict"        // 409: look at the current state and decide again
	CodeRateLimited     Code = "rate_limited"    // 429: slow down
	CodeInternal        Code = "internal"        // 500: our fault; the log knows
	CodeUnavailable     Code = "unavailable"     // 503: try again later
	CodeDeadline        Code = "deadline"        // 504: it took too long; whether it happened is unknown
)

// Status returns the HTTP status that stands for c, 500 for a code it does not know.
func (c Code) Status() int {
	switch c {
	case CodeInvalid:
		return 400
	case CodeUnauthenticated:
		return 401
	case CodeForbidden:
		return 403
	case CodeNotFound:
		return 404
	case CodeConflict:
		return 409
	case CodeRateLimited:
		return 429
	case CodeUnavailable:
		return 503
	case CodeDeadline:
		return 504
	default:
		return 500
	}
}

// FieldError says what is wrong with one member of a request. Field is its path as
// in JavaScript, "items[0].quantity". Message never repeats the value.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is the one error that crosses the wire. Everything in it but the cause is
// for the caller's eyes: no internals, no personal data.
type Error struct {
	Code       Code
	Message    string
	Fields     []FieldError
	RetryAfter time.Duration // when a repeat may succeed; 0 says nothing

	stale bool
	cause error
}

// Status returns the HTTP status that stands for the error: that of its code, and 412
// for [Stale].
func (e *Error) Status() int {
	if e.stale {
		return 412
	}
	return e.Code.Status()
}

// Error returns message, fields and, for the log, the cause.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(string(e.Code) + ": " + e.Message)
	for i, f := range e.Fields {
		sep := "; "
		if i == 0 {
			sep = " ("
		}
		s.WriteString(sep + f.Field + " " + f.Message)
	}
	if len(e.Fields) > 0 {
		s.WriteString(")")
	}
	if e.cause != nil {
		s.WriteString(": " + e.cause.Error())
	}
	return s.String()
}

// Unwrap returns what [Error.Because] attached.
func (e *Error) Unwrap() error { return e.cause }

// Because attaches the cause, which stays in this process: errors.Is finds it and
// the log shows it. It returns e.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// After sets RetryAfter and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Invalid says that the request is malformed or breaks a rule that does not depend
// on state.
func Invalid(message string, fields ...FieldError) *Error {
	return &Error{Code: CodeInvalid, Message: message, Fields: fields}
}

// Unauthenticated says that the request needs an identity and has none, or a wrong one.
func Unauthenticated(message string) *Error {
	return &Error{Code: CodeUnauthenticated, Message: message}
}

// Forbidden says that this identity may not do this.
func Forbidden(message string) *Error {
	return &Error{Code: CodeForbidden, Message: message}
}

// NotFound says that what the request addresses does not exist.
func NotFound(message string, fields ...FieldError) *Error {
	return &Error{Code: CodeNotFound, Message: message, Fields: fields}
}

// Conflict says that the current state does not allow it; fields name what clashes.
func Conflict(message string, fields ...FieldError) *Error {
	return &Error{Code: CodeConflict, Message: message, Fields: fields}
}

// Stale says that what the caller decided on has changed since: it has another version
// than the one in the request, see [Expected].
func Stale(message string, fields ...FieldError) *Error {
	return &Error{Code: CodeConflict, Message: message, Fields: fields, stale: true}
}

// RateLimited says that this caller asks too often; after is when to come back.
func RateLimited(message string, after time.Duration) *Error {
	return &Error{Code: CodeRateLimited, Message: message, RetryAfter: after}
}

// Unavailable says that it can't be done now, though nothing is wrong with the request.
func Unavailable(message string) *Error {
	return &Error{Code: CodeUnavailable, Message: message}
}

// Deadline says that the time the caller gave ran out.
func Deadline(message string) *Error {
	return &Error{Code: CodeDeadline, Message: message}
}

// CodeOf returns the code an error has for a caller: that of the [*Error] in it,
// deadline for an expired context, unavailable for a cancelled one and for what NATS
// cannot do now, internal for everything else, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return coded(err).Code
}

// coded returns the error to show for err. Of what is internal nothing is shown.
func coded(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Code.Status() == 500 {
			return &Error{Code: CodeInternal, Message: internalMessage, cause: err}
		}
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return Deadline("the time for this request ran out").Because(err)
	case errors.Is(err, context.Canceled):
		return Unavailable("the request was cancelled").Because(err)
	case notNow(err):
		return Unavailable("NATS cannot do this now").Because(err)
	default:
		return &Error{Code: CodeInternal, Message: internalMessage, cause: err}
	}
}

const internalMessage = "internal error"
