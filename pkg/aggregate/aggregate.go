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
// A command is recognised when it comes again within 24 hours: the events it led to
// carry its id (the CausationID of [event.MetadataFrom]). Its repeat is answered with
// the state as of those events and appends nothing.
//
// What was used last stays in memory, and [Aggregates.Snapshots] keeps the state of
// long histories in a bucket. Neither decides anything: an append succeeds only where
// the stream is as expected, and a refusal is confirmed by the stream's leader.
package aggregate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
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
// use. It keeps the 10,000 aggregates used last in memory, so that the next command
// on one of them reads nothing before it appends.
type Aggregates[S any] struct {
	store     *eventstore.Store
	apply     func(state S, e event.Event, data event.Data) S
	cache     *cache[S]
	snapshots atomic.Pointer[Snapshots[S]] // nil until they are started
	meters    *meters
}

// New returns the aggregates whose events are in store. apply must be pure, and must
// not change what state refers to: copy slices and maps before changing them.
func New[S any](store *eventstore.Store, apply func(state S, e event.Event, data event.Data) S) *Aggregates[S] {
	s := store.Stream()
	return &Aggregates[S]{store: store, apply: apply, cache: newCache[S](), meters: newMeters(store.Meters(), s.Entity, s.Name)}
}

// Command asks one aggregate for one decision.
type Command[S any] struct {
	ID string
	// Create says that the aggregate should not exist yet: nothing is read before the
	// append, which finds out if it does.
	Create bool
	// Decide returns what happens, in order. No events and no error means that there
	// is nothing to do. Its error is returned by Do as it is, after it was confirmed
	// on the latest state.
	Decide func(state S) ([]event.Data, error)
	// Claims are stored with the events, when there are any.
	Claims []eventstore.Claim
	// ClaimsOn, when set, returns more claims, those that depend on the state: what an
	// aggregate holds and gives back. It must be pure, as Decide.
	ClaimsOn func(state S) []eventstore.Claim
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

// Get returns the state of aggregate id, or [ErrNotFound]. On a replicated stream it
// may lag behind what another process wrote a moment ago.
func (a *Aggregates[S]) Get(ctx context.Context, id string) (Result[S], error) {
	r, err := a.load(ctx, id)
	if err == nil && r.tail.Version == 0 {
		err = fmt.Errorf("%s %s: %w", a.store.Stream().Entity, id, ErrNotFound)
	}
	if err != nil {
		return Result[S]{}, coded(id, err)
	}
	return r.result(), nil
}

// History returns the events of aggregate id, oldest first, or [ErrNotFound].
func (a *Aggregates[S]) History(ctx context.Context, id string) ([]event.Event, error) {
	recorded, _, err := a.store.Load(ctx, id)
	if err == nil && len(recorded) == 0 {
		err = fmt.Errorf("%s %s: %w", a.store.Stream().Entity, id, ErrNotFound)
	}
	if err != nil {
		return nil, coded(id, err)
	}
	events := make([]event.Event, len(recorded))
	for i, e := range recorded {
		events[i] = e.Event
	}
	return events, nil
}

// Do carries out c. On a conflict it takes in what happened meanwhile and decides
// again, a dozen times at most; a request that expects a version ([endpoint.Expected])
// is refused as stale when it is not that. Errors are those of Decide, [ErrKeyReused], [*PanicError]
// for a rule that panics, in which case nothing was stored, and those of
// [eventstore.Store.Append]; those that a caller can act on are
// [*endpoint.Error] too. The position of what was appended goes to
// [endpoint.Wrote].
func (a *Aggregates[S]) Do(ctx context.Context, c Command[S]) (Result[S], error) {
	result, err := a.do(ctx, c)
	if err != nil {
		return Result[S]{}, coded(c.ID, err)
	}
	if result.Position > 0 {
		endpoint.Wrote(ctx, a.store.Stream().Name, result.Position)
	}
	return result, nil
}

func (a *Aggregates[S]) do(ctx context.Context, c Command[S]) (Result[S], error) {
	r := a.cache.get(c.ID)
	switch {
	case r != nil:
		a.meters.lookedUp(ctx, true)
	case c.Create:
		r = &root[S]{}
	default:
		var err error
		if r, err = a.load(ctx, c.ID); err != nil {
			return Result[S]{}, err
		}
	}
	meta := event.MetadataFrom(ctx)
	confirmed := false
	for attempt := 1; ; attempt++ {
		if at, ok, err := r.repeated(meta, c.Origin); err != nil {
			return Result[S]{}, err
		} else if ok {
			return a.answerAgain(ctx, c.ID, r, at)
		}
		d, refusal := a.decide(ctx, c, r)
		if stale := a.stale(ctx, r); stale != nil {
			refusal = stale
		}
		if refusal != nil || len(d.events) == 0 {
			// The state may be old: a refusal counts only on the latest.
			latest, err := a.confirm(ctx, c.ID, r, confirmed)
			if err != nil {
				return Result[S]{}, err
			}
			if latest == r {
				return r.result(), refusal
			}
			r, confirmed = latest, true
			continue
		}
		tail, err := a.store.Append(ctx, c.ID, r.tail, d.events, d.claims...)
		if err == nil {
			next, err := a.appended(r, d, tail, meta.Keyed || c.Origin != nil)
			if err != nil {
				return Result[S]{}, err
			}
			return a.keep(c.ID, r, next, d.events), nil
		}
		conflict, ok := errors.AsType[*eventstore.ConflictError](err)
		if !ok || attempt == attempts {
			return Result[S]{}, err
		}
		if r, err = a.overtaken(ctx, c.ID, r, conflict); err != nil {
			return Result[S]{}, err
		}
		confirmed = true
		if err := backoff(ctx, attempt); err != nil {
			return Result[S]{}, err
		}
	}
}

// stale says that r is not at the version which the caller's decision rests on.
func (a *Aggregates[S]) stale(ctx context.Context, r *root[S]) error {
	expected, ok := endpoint.Expected(ctx)
	if !ok || expected == r.tail.Version {
		return nil
	}
	return endpoint.Stale(fmt.Sprintf("it is at version %d by now, not %d", r.tail.Version, expected))
}

// appended returns r after d. Only the events of a command that may come again need be
// recognised.
func (a *Aggregates[S]) appended(r *root[S], d decision, tail eventstore.Tail, mayRepeat bool) (*root[S], error) {
	if !mayRepeat {
		next := &root[S]{state: r.state, tail: tail, marks: r.marks}
		var err error
		for i, e := range d.events {
			if next.state, err = a.fold(next.state, e, d.data[i]); err != nil {
				return nil, err
			}
		}
		return next, nil
	}
	recorded := make([]eventstore.Recorded, len(d.events))
	for i := range d.events {
		recorded[i] = eventstore.Recorded{Event: d.events[i], Data: d.data[i]}
	}
	return a.after(r, recorded, tail)
}

// keep remembers next, which events made of r, and answers the command.
func (a *Aggregates[S]) keep(id string, r, next *root[S], events []event.Event) Result[S] {
	next.marks = recent(next.marks, time.Now())
	a.cache.put(id, next)
	if s := a.snapshots.Load(); s != nil {
		s.consider(id, r.tail.Version, next)
	}
	result := next.result()
	result.Events = events
	return result
}

// overtaken returns the aggregate with what others appended meanwhile.
func (a *Aggregates[S]) overtaken(ctx context.Context, id string, r *root[S], conflict *eventstore.ConflictError) (*root[S], error) {
	if continues(r.tail, conflict.Events, conflict.Tail) {
		next, err := a.after(r, conflict.Events, conflict.Tail)
		if err != nil {
			return nil, err
		}
		a.cache.put(id, next)
		return next, nil
	}
	// What was known is not a beginning of what is there: the history was replaced.
	a.cache.forget(id)
	return a.load(ctx, id)
}

// answerAgain returns the result that a command had when it was carried out.
func (a *Aggregates[S]) answerAgain(ctx context.Context, id string, r *root[S], at mark) (Result[S], error) {
	result := Result[S]{State: r.state, Version: at.Version, Position: at.Sequence, Repeated: true}
	if at.Version == r.tail.Version {
		return result, nil
	}
	past, err := a.GetVersion(ctx, id, at.Version)
	result.State = past.State
	return result, err
}

// GetVersion returns the state of aggregate id as it was at version, or [ErrNotFound]
// when it has not come that far.
func (a *Aggregates[S]) GetVersion(ctx context.Context, id string, version uint64) (Result[S], error) {
	return a.past(ctx, id, func(e event.Event) bool { return e.Version <= version }, version)
}

// GetAt returns the state of aggregate id as of t, by the times of its events, or
// [ErrNotFound] when it did not exist yet.
func (a *Aggregates[S]) GetAt(ctx context.Context, id string, t time.Time) (Result[S], error) {
	return a.past(ctx, id, func(e event.Event) bool { return !e.Time.After(t) }, 1)
}

// past folds the events of id as long as they belong; at least that many must.
func (a *Aggregates[S]) past(ctx context.Context, id string, belongs func(event.Event) bool, least uint64) (Result[S], error) {
	events, _, err := a.store.Load(ctx, id)
	if err != nil {
		return Result[S]{}, coded(id, err)
	}
	var result Result[S]
	for _, e := range events {
		if !belongs(e.Event) {
			break
		}
		state, err := a.fold(result.State, e.Event, e.Data)
		if err != nil {
			return Result[S]{}, coded(id, fmt.Errorf("%s %s: version %d: %w", a.store.Stream().Entity, id, e.Version, err))
		}
		result = Result[S]{State: state, Version: e.Version, Position: e.Sequence}
	}
	if result.Version < max(least, 1) {
		return Result[S]{}, coded(id, fmt.Errorf("%s %s: version %d: %w", a.store.Stream().Entity, id, least, ErrNotFound))
	}
	return result, nil
}

// load returns the aggregate as a replica of the stream has it now. It reads only
// what is new since it was last in memory, or since its snapshot.
func (a *Aggregates[S]) load(ctx context.Context, id string) (*root[S], error) {
	known := a.cache.get(id)
	a.meters.lookedUp(ctx, known != nil)
	begin := func(context.Context) (eventstore.Tail, error) {
		if known == nil {
			known = &root[S]{}
		}
		return known.tail, nil
	}
	if s := a.snapshots.Load(); s != nil && known == nil {
		begin = func(ctx context.Context) (eventstore.Tail, error) {
			kept, err := s.read(ctx, id)
			if err != nil {
				return eventstore.Tail{}, err
			}
			known = kept
			return known.tail, nil
		}
	}
	events, tail, err := a.store.LoadSince(ctx, id, begin)
	if err != nil {
		return nil, err
	}
	if !continues(known.tail, events, tail) {
		known = &root[S]{}
		if events, tail, err = a.store.Load(ctx, id); err != nil {
			return nil, err
		}
	}
	r, err := a.after(known, events, tail)
	if err != nil {
		return nil, err
	}
	if tail.Version > 0 {
		a.cache.put(id, r)
	}
	return r, nil
}

// confirm returns r if it is the latest, by the word of the stream's leader unless it
// came from there, and the latest otherwise.
func (a *Aggregates[S]) confirm(ctx context.Context, id string, r *root[S], confirmed bool) (*root[S], error) {
	if confirmed {
		return r, nil
	}
	events, tail, err := a.store.LoadLatest(ctx, id, r.tail)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 && tail.Sequence == r.tail.Sequence {
		return r, nil
	}
	return a.overtaken(ctx, id, r, &eventstore.ConflictError{Events: events, Tail: tail})
}

// continues reports whether events, which end at now, follow directly on tail.
func continues(tail eventstore.Tail, events []eventstore.Recorded, now eventstore.Tail) bool {
	if len(events) == 0 {
		return tail.Version == now.Version && tail.Sequence == now.Sequence
	}
	return events[0].Follows(tail.Version, tail.Sequence)
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
