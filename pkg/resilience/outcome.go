package resilience

import (
	"context"
	"errors"
	"time"
)

// Outcome is what the error of an attempt says of the target.
type Outcome int

// The outcomes, and what becomes of each. No error at all is Answered.
const (
	// Failed: the target, or the way to it, is broken. It may have carried the request
	// out. The breaker counts a failure; only what is idempotent is repeated.
	Failed Outcome = iota
	// NotTaken: as Failed, but the target certainly did not take the request, so that a
	// repeat is always safe.
	NotTaken
	// TimedOut: there was no answer in time. It is as Failed when the attempt lasted
	// Breaker.Patience or longer, and as Ignored when it did not.
	TimedOut
	// Busy: the target is well, did not take the request and asks to come back later.
	// The breaker counts a success; the call is repeated.
	Busy
	// Answered: the target did its work, also when the answer is that the request is
	// wrong. The breaker counts a success; nothing is repeated.
	Answered
	// Ignored: nothing is learned of the target. The breaker counts nothing; nothing is
	// repeated.
	Ignored

	refused Outcome = -1 // the target was not asked
)

// Verdict is what a classifier says of an error.
type Verdict struct {
	Outcome    Outcome
	RetryAfter time.Duration // the target does not want to be asked again before; 0 says nothing
}

// classifyPlain knows nothing of the target's errors: each is a failure.
func classifyPlain(err error) Verdict {
	switch {
	case errors.Is(err, context.Canceled):
		return Verdict{Outcome: Ignored}
	case errors.Is(err, context.DeadlineExceeded):
		return Verdict{Outcome: TimedOut}
	default:
		return Verdict{Outcome: Failed}
	}
}
