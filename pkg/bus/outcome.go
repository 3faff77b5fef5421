package bus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errDropped = errors.New("dropped by the handler")

// dropError tells the consumer to give a message up.
type dropError struct {
	reason Reason
	err    error
}

func (e *dropError) Error() string { return e.err.Error() }
func (e *dropError) Unwrap() error { return e.err }

// Drop marks err as one that no retry will cure: the message becomes a dead letter
// now, with err's text, and the next message of its key follows. Drop(nil) drops too,
// without a text of its own.
func Drop(err error) error {
	if err == nil {
		err = errDropped
	}
	return &dropError{reason: ReasonDropped, err: err}
}

func dropAs(reason Reason, err error) error { return &dropError{reason: reason, err: err} }

// retryError asks for a wait of its own.
type retryError struct {
	after time.Duration
	err   error
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// RetryAfter asks for the next attempt after d instead of the group's backoff, as
// when the other side said when to come again. It counts as an attempt like any
// other error.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = fmt.Errorf("asked to come again after %s", d)
	}
	return &retryError{after: max(d, 0), err: err}
}

type attemptKey struct{}

// attempt is the context of one attempt.
type attempt struct {
	context.Context //nolint:containedctx // it is one

	n, max int
}

// Value answers [Attempt]; everything else comes from what it is based on.
func (a *attempt) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return a
	}
	return a.Context.Value(key)
}

// Attempt returns which attempt at the message the handler's context belongs to,
// from 1, and how many there are before it becomes a dead letter. Outside a handler
// both are 0.
func Attempt(ctx context.Context) (n, most int) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		return a.n, a.max
	}
	return 0, 0
}
