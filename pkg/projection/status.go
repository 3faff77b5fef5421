package projection

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// State says in one word how a model is.
type State string

// The states of a model, as one process sees it.
const (
	Following State = "following" // this process folds, or watches another that does
	Parked    State = "parked"    // it stands still in front of an event, or on its checkpoint
	Failing   State = "failing"   // something keeps this process from following, and it tries again
	Stopped   State = "stopped"   // no runner of this process follows it
)

// Lag is how far a model is behind its stream.
type Lag struct {
	Events  uint64        // messages of the stream that are not folded yet
	Waiting time.Duration // how long the first of them has been in the stream; 0 when there is none
}

// Skipped counts the events that a model goes without, see [Skip], and says which was
// the last. The count is part of the model: it outlives processes, not a rebuild.
type Skipped struct {
	Events   uint64 `json:"events"`
	Sequence uint64 `json:"sequence"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
}

// Status is what there is to know about a read model, from the view of one process.
type Status struct {
	Name     string
	Version  int // of the fold
	Stream   string
	State    State
	Reason   string // why it is not following; not for outsiders, as it may name keys
	Position uint64 // the last sequence that is folded
	Last     uint64 // the stream's
	Lag      Lag
	Pace     float64       // events a second over the last seconds, while this process folds
	Left     time.Duration // until it is up to date at that pace; 0 when it is, or that is not known
	Skipped  Skipped
	Rebuild  *Rebuild // nil when this process knows of none
}

// Status asks the stream how far it is, which costs about a millisecond of the
// server's time.
func (r *Runner) Status(ctx context.Context) (Status, error) {
	reached, _, _ := r.progress.now()
	s := Status{Name: r.name, Version: 1, Stream: r.history.name, Position: reached, Pace: r.pace.now()}
	r.mu.Lock()
	s.State, s.Reason = stateOf(r.health)
	if r.skipped != nil {
		s.Skipped = *r.skipped
	}
	r.mu.Unlock()
	var err error
	if s.Last, s.Lag, err = r.history.lag(ctx, reached); err != nil {
		return s, fmt.Errorf("status of read model %s: %w", r.name, err)
	}
	if s.Pace > 0 && s.Lag.Events > 0 {
		s.Left = time.Duration(float64(s.Lag.Events) / s.Pace * float64(time.Second))
	}
	if r.rebuilder != nil {
		s.Version = r.rebuilder.home.version
		s.Rebuild, err = r.rebuilder.status(ctx)
	}
	return s, err
}

func stateOf(health error) (State, string) {
	var parked *ParkedError
	switch {
	case health == nil:
		return Following, ""
	case errors.Is(health, ErrNotFollowed):
		return Stopped, health.Error()
	case errors.As(health, &parked):
		return Parked, health.Error()
	default:
		return Failing, health.Error()
	}
}

// lag returns the last sequence of the stream, and what lies after sequence.
func (s stream) lag(ctx context.Context, sequence uint64) (uint64, Lag, error) {
	end, err := s.last(ctx, ">", leader)
	if err != nil || end.sequence <= sequence {
		return end.sequence, Lag{}, err
	}
	first, _, err := s.get(ctx, getRequest{Next: ">", Sequence: sequence + 1})
	if err != nil {
		return end.sequence, Lag{}, fmt.Errorf("read stream %s: %w", s.name, err)
	}
	if first.sequence == 0 {
		return end.sequence, Lag{}, nil // erased meanwhile
	}
	lag := Lag{Waiting: max(time.Since(first.at), time.Nanosecond)}
	lag.Events, err = s.count(ctx, sequence)
	return end.sequence, lag, err
}
