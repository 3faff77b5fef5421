// Package aggregate runs commands on event-sourced aggregates: load the history,
// decide, append what was decided, and start over when somebody else was faster.
//
// The rules of one kind of aggregate are two pure functions. apply folds one event
// into the state:
//
//	func apply(o Order, e event.Event, data event.Data) Order
//
// and each command decides, from the state, which events happen:
//
//	orders := aggregate.New(store, apply)
//	result, err := orders.Do(ctx, aggregate.Command[Order]{
//		ID:     id,
//		Decide: func(o Order) ([]event.Data, error) { return confirm(o) },
//	})
//
// Decide may run several times and must have no effect but its answer. A state is
// the zero value of S for an aggregate without events.
//
// A command is recognised when it comes again: the events it led to carry its id
// (the CausationID of [event.MetadataFrom]). Its repeat is answered with the state
// as of those events and appends nothing.
package aggregate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

var (
	// ErrNotFound says that an aggregate has no events.
	ErrNotFound = errors.New("no such aggregate")
	// ErrKeyReused says that a command's id was used before with another content.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
)

// attempts is how often Do decides before it gives up on a contended aggregate.
const attempts = 12

// Aggregates loads and changes aggregates with state S. It is safe for concurrent
// use.
type Aggregates[S any] struct {
	store *eventstore.Store
	apply func(state S, e event.Event, data event.Data) S
}

// New returns the aggregates whose events are in store. apply must be pure, and must
// not change what state refers to: copy slices and maps before changing them.
func New[S any](store *eventstore.Store, apply func(state S, e event.Event, data event.Data) S) *Aggregates[S] {
	return &Aggregates[S]{store: store, apply: apply}
}

// Command asks one aggregate for one decision.
type Command[S any] struct {
	ID string
	// Decide returns what happens, in order. No events and no error means that there
	// is nothing to do. Its error is returned by Do as it is, after it was confirmed
	// on the latest state.
	Decide func(state S) ([]event.Data, error)
	// Claims are stored with the events, when there are any.
	Claims []eventstore.Claim
	// Origin, when set, is the outsider's event that the decision takes in: its one
	// event keeps the id, source and time, so that it counts once however often it
	// comes.
	Origin *event.Event
}

// Result is the state after a command, or as it was loaded.
type Result[S any] struct {
	State    S
	Version  uint64        // of the last event
	Position uint64        // stream sequence of the last event
	Events   []event.Event // what this command appended; nil for a repeat
	Repeated bool          // the command had been carried out before
}

// Get returns the state of aggregate id, or [ErrNotFound].
func (a *Aggregates[S]) Get(ctx context.Context, id string) (Result[S], error) {
	h, err := a.load(ctx, id)
	if err != nil {
		return Result[S]{}, coded(err)
	}
	if h.tail.Version == 0 {
		return Result[S]{}, coded(fmt.Errorf("%s %s: %w", a.store.Stream().Entity, id, ErrNotFound))
	}
	return h.result(), nil
}

// History returns the events of aggregate id, oldest first, or [ErrNotFound].
func (a *Aggregates[S]) History(ctx context.Context, id string) ([]event.Event, error) {
	h, err := a.load(ctx, id)
	if err != nil {
		return nil, coded(err)
	}
	if len(h.events) == 0 {
		return nil, coded(fmt.Errorf("%s %s: %w", a.store.Stream().Entity, id, ErrNotFound))
	}
	events := make([]event.Event, len(h.events))
	for i, e := range h.events {
		events[i] = e.Event
	}
	return events, nil
}

// Do carries out c. On a conflict it takes in what happened meanwhile and decides
// again, a dozen times at most. Errors are those of Decide, [ErrKeyReused], and
// those of [eventstore.Store.Append]; those that a caller can act on are
// [*endpoint.Error] too. The position of what was appended goes to
// [endpoint.Wrote].
func (a *Aggregates[S]) Do(ctx context.Context, c Command[S]) (Result[S], error) {
	result, err := a.do(ctx, c)
	if err != nil {
		return Result[S]{}, coded(err)
	}
	if result.Position > 0 {
		endpoint.Wrote(ctx, a.store.Stream().Name, result.Position)
	}
	return result, nil
}

func (a *Aggregates[S]) do(ctx context.Context, c Command[S]) (Result[S], error) {
	h, err := a.load(ctx, c.ID)
	if err != nil {
		return Result[S]{}, err
	}
	meta := event.MetadataFrom(ctx)
	confirmed := false
	for attempt := 1; ; attempt++ {
		if done, ok, err := h.repeated(meta, c.Origin); ok || err != nil {
			return done, err
		}
		data, err := c.Decide(h.state)
		if err != nil || len(data) == 0 {
			if confirmed {
				return h.result(), err
			}
			// The state may be old: a refusal counts only on the latest.
			moved, loadErr := a.catchUp(ctx, c.ID, h)
			if loadErr != nil {
				return Result[S]{}, loadErr
			}
			if !moved {
				return h.result(), err
			}
			confirmed = true
			continue
		}
		events, err := a.events(ctx, c, data)
		if err != nil {
			return Result[S]{}, err
		}
		tail, err := a.store.Append(ctx, c.ID, h.tail, events, c.Claims...)
		if err == nil {
			recorded := make([]eventstore.Recorded, len(events))
			for i := range events {
				recorded[i] = eventstore.Recorded{Event: events[i], Data: data[i]}
			}
			h.add(recorded, tail)
			result := h.result()
			result.Events = events
			return result, nil
		}
		var conflict *eventstore.ConflictError
		if !errors.As(err, &conflict) || attempt == attempts {
			return Result[S]{}, err
		}
		h.add(conflict.Events, conflict.Tail)
		confirmed = true
		if err := backoff(ctx, attempt); err != nil {
			return Result[S]{}, err
		}
	}
}

// events builds the events of a decision.
func (a *Aggregates[S]) events(ctx context.Context, c Command[S], data []event.Data) ([]event.Event, error) {
	if c.Origin != nil && len(data) != 1 {
		return nil, fmt.Errorf("%w: an event from outside led to %d events, not one", event.ErrInvalid, len(data))
	}
	events := make([]event.Event, len(data))
	for i, d := range data {
		e, err := a.store.Registry().New(ctx, c.ID, d)
		if err != nil {
			return nil, err
		}
		if c.Origin != nil {
			e.ID, e.Source = c.Origin.ID, c.Origin.Source
			if !c.Origin.Time.IsZero() {
				e.Time = c.Origin.Time
			}
		}
		events[i] = e
	}
	return events, nil
}

func (a *Aggregates[S]) load(ctx context.Context, id string) (*history[S], error) {
	events, tail, err := a.store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	h := &history[S]{apply: a.apply}
	h.add(events, tail)
	return h, nil
}

// catchUp brings h to what the stream's leader has and reports whether that was
// more than h knew.
func (a *Aggregates[S]) catchUp(ctx context.Context, id string, h *history[S]) (bool, error) {
	events, tail, err := a.store.LoadLatest(ctx, id, h.tail.Version)
	if err != nil {
		return false, err
	}
	h.add(events, tail)
	return len(events) > 0, nil
}

// backoff spreads contenders: up to 2 ms after the first conflict, growing to 64 ms.
func backoff(ctx context.Context, attempt int) error {
	most := 2 * time.Millisecond << min(attempt-1, 5)
	timer := time.NewTimer(rand.N(most)) //nolint:gosec // G404: jitter needs no secrecy
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
