package eventstore

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrConflict is what a [*ConflictError] is, for errors.Is.
	ErrConflict = errors.New("the aggregate was changed by somebody else")
	// ErrTaken is what a [*TakenError] is, for errors.Is.
	ErrTaken = errors.New("claimed by another aggregate")
	// ErrTooLarge says that an event exceeds [MaxMessageSize] or a decision has more
	// messages than one atomic batch can hold.
	ErrTooLarge = errors.New("too large")
	// ErrOutcomeUnknown says that the time ran out while it was not known whether
	// the events were stored. Repeating the command with the same id finds out.
	ErrOutcomeUnknown = errors.New("it is not known whether the events were stored")
)

// ConflictError says that an append expected an older state of the aggregate. It
// carries what happened since, read from the stream's leader, so that the caller
// can decide again without another read.
type ConflictError struct {
	Stream  string
	ID      string
	Tail    Tail       // where the aggregate is now
	Events  []Recorded // what came after the expected version, oldest first
	Expects uint64     // the stream sequence the append expected
}

// Error names the aggregate and both sequences.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %s: expected sequence %d, is at %d: %v", e.Stream, e.ID, e.Expects, e.Tail.Last, ErrConflict)
}

// Is matches [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// TakenError says that a claim is held by another aggregate.
type TakenError struct {
	Claim  string // the claim's name, such as "email"
	Holder string // the aggregate that holds it
}

// Error names the claim, not its value and not the holder.
func (e *TakenError) Error() string { return e.Claim + ": " + ErrTaken.Error() }

// Is matches [ErrTaken].
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// ForeignError says that a message on an aggregate's subjects is not part of its
// history, and why. It is for those who have to deal with such messages; other
// readers skip them.
type ForeignError struct {
	Reason string // without data of the message but names of types and attributes
}

// Error returns the reason.
func (e *ForeignError) Error() string { return "not a genuine event: " + e.Reason }

// Is matches every other ForeignError.
func (e *ForeignError) Is(target error) bool {
	_, ok := target.(*ForeignError)
	return ok
}

// outcome says what an error of a publish means for what is in the stream.
type outcome int

const (
	stored  outcome = iota
	refused         // an expectation did not hold: nothing of it was stored
	retry           // nothing of it was stored, and another try may succeed
	unknown         // it may have been stored
	invalid         // nothing of it was stored, and no other try will do better
)

// Error codes of JetStream for atomic batches, from the server's errors.json.
const (
	codeBatchIncomplete = 10176
	codeBatchTooLarge   = 10199
	codeBatchUnknown    = 10208 // a fast batch
	codeBatchInflight   = 10210
)

// classify follows the server's error codes; text is never looked at.
func classify(err error) outcome {
	if err == nil {
		return stored
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return retry // nobody has the stream just now
	}
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadHeaderMsg) {
		return invalid // it was not even sent
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return unknown
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return refused
	case codeBatchIncomplete, codeBatchInflight:
		return retry
	}
	if api.Code >= 500 {
		return unknown
	}
	return invalid
}
