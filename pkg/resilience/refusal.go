package resilience

import (
	"errors"
	"fmt"
	"time"
)

// The reasons why a call is refused here, without asking the target.
var (
	ErrOpen    = errors.New("circuit breaker is open")
	ErrFull    = errors.New("bulkhead is full")
	ErrLimited = errors.New("rate limit is reached")
)

// RefusedError says that a policy did not let a call through. The target knows nothing of
// the call.
type RefusedError struct {
	Policy     string        // its name
	Reason     error         // ErrOpen, ErrFull or ErrLimited
	RetryAfter time.Duration // when a call may get through; 0 says nothing
}

// Error names the policy and the reason.
func (e *RefusedError) Error() string { return fmt.Sprintf("calls of %s: %v", e.Policy, e.Reason) }

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Reason }
