package projection

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that the model has no such key.
	ErrNotFound = errors.New("not in the read model")
	// ErrKey says that a key or an index is malformed or of the wrong kind.
	ErrKey = errors.New("malformed key")
	// ErrCursor says that a cursor was not made by [View.List] for this index.
	ErrCursor = errors.New("malformed cursor")
	// ErrNotFollowed says that no runner of this process keeps the model up to date.
	ErrNotFollowed = errors.New("the read model is not followed")
	// ErrCheckpoint says that the model's checkpoint does not belong to the stream as
	// it is now: another stream of the same name, one that was restored to an earlier
	// point, one that lost its end or the events the model needs next, or values without
	// any checkpoint. What the model has may be wrong then, and is not served by the
	// process that follows it.
	ErrCheckpoint = errors.New("checkpoint does not fit the stream")
)

// BehindError says that the model had not folded a sequence when the time was up.
// It unwraps to the context's error.
type BehindError struct {
	Stream  string
	Wanted  uint64
	Reached uint64 // the last sequence that is folded
	cause   error
}

// Error names the stream and both sequences.
func (e *BehindError) Error() string {
	return fmt.Sprintf("read model is at %s=%d, not yet at %d", e.Stream, e.Reached, e.Wanted)
}

// Unwrap returns why waiting ended.
func (e *BehindError) Unwrap() error { return e.cause }

// ParkedError says that a model stands still and why. Sequence and Type are those of
// the event that could not be folded; they are zero when the checkpoint is the
// reason.
type ParkedError struct {
	Bucket   string
	Stream   string
	Sequence uint64
	Type     string
	Err      error
}

// Error names the event and the reason.
func (e *ParkedError) Error() string {
	if e.Sequence == 0 {
		return fmt.Sprintf("read model %s is parked: %v", e.Bucket, e.Err)
	}
	return fmt.Sprintf("read model %s is parked before %s at %s=%d: %v", e.Bucket, e.Type, e.Stream, e.Sequence, e.Err)
}

// Unwrap returns the reason.
func (e *ParkedError) Unwrap() error { return e.Err }

// poisonError says that an event can't be folded, whatever is tried.
type poisonError struct{ err error }

func (e *poisonError) Error() string { return e.err.Error() }
func (e *poisonError) Unwrap() error { return e.err }

// panicError is a fold's panic, with the stack for the log.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic in fold: %v", e.value) }

// refusedError is a step that was refused because something had changed: the
// checkpoint that it follows, or a value of the model.
type refusedError struct {
	at  checkpoint
	err error
}

func (e *refusedError) Error() string { return "step refused: " + e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// errEnd is the [ErrCheckpoint] of a stream that ends before the checkpoint. That it
// grows past the checkpoint later mends nothing.
var errEnd = fmt.Errorf("%w: the stream lost its end", ErrCheckpoint)

// errNeedsLeader ends a session that read from replicas and must not have.
var errNeedsLeader = errors.New("values must be read from the leader")

// errFirstBatch ends a session that saw another writer's first batch halfway.
var errFirstBatch = errors.New("another process has begun to write the read model")

// errOvertaken ends a session that found another writer at work as it began.
var errOvertaken = errors.New("another process writes the read model")
