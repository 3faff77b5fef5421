package resilience

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// State is that of a circuit breaker. The zero value is Closed.
type State int

// The states. An open breaker becomes half-open with the first call after its recovery
// time, not before.
const (
	Closed   State = iota // calls pass
	Open                  // calls are refused
	HalfOpen              // some probes pass

	states // how many there are
)

// String returns "closed", "open" or "half-open".
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	default:
		return "closed"
	}
}

func stateOf(s circuitbreaker.State) State {
	switch s {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	default:
		return Closed
	}
}

// Change is a change of a breaker's state.
type Change struct {
	Policy   string
	From, To State
	At       time.Time
	Cause    error // what the call that opened the breaker returned; else nil
}
