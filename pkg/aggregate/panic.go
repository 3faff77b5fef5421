package aggregate

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"sluice/pkg/event"
)

// ErrPanicked is what a [*PanicError] is, for errors.Is.
var ErrPanicked = errors.New("a rule panicked")

// PanicError says that a rule panicked: apply, Decide or ClaimsOn of a [Command], or a
// method of an event's data or of the state. Outside it reads "internal", whatever the
// rule panicked with: Value is not part of the chain that errors.As sees.
type PanicError struct {
	Rule  string // "decide", "claims", "apply", "data" or "state"
	Value any    // what the rule panicked with
	stack string
}

// Error names the rule, and the first line of the value.
func (e *PanicError) Error() string {
	first, _, _ := strings.Cut(fmt.Sprint(e.Value), "\n")
	return "panic in " + e.Rule + ": " + first
}

// Is matches [ErrPanicked].
func (e *PanicError) Is(target error) bool { return target == ErrPanicked }

// Stack returns the stack of the goroutine when it panicked, for the log.
func (e *PanicError) Stack() string { return e.stack }

// rescue, when deferred, turns a panic of rule into an error.
func rescue(rule string, err *error) {
	if value := recover(); value != nil {
		*err = &PanicError{Rule: rule, Value: value, stack: string(debug.Stack())}
	}
}

// fold applies one event.
func (a *Aggregates[S]) fold(state S, e event.Event, data event.Data) (next S, err error) {
	defer rescue("apply", &err)
	return a.apply(state, e, data), nil
}
