package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// readerCache bounds how many aggregates a Reader remembers, about 150 bytes each.
const readerCache = 64 << 10

// Reader tells genuine events from foreign messages for one consumer of the
// stream. It remembers where each aggregate was when the consumer last met it, so
// that in the common case the answer costs nothing; else it reads the events before.
//
// Use one Reader for each consumer: what it remembers belongs to that consumer's
// place in the stream. It is safe for concurrent use.
type Reader struct {
	store *Store
	mu    sync.Mutex
	tails *lru.Cache[string, Tail]
}

// Reader returns a new reader of the store's stream.
func (s *Store) Reader() *Reader {
	tails, err := lru.New[string, Tail](readerCache)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Reader{store: s, tails: tails}
}

// Read decodes a delivered message and reports whether it is a genuine event of the
// stream's history: well formed, of a known type, with data that fits the type, and
// continuing its aggregate. What is not genuine has no error: ignore and
// acknowledge it, the owner of the stream takes care of it.
//
// The event carries its typed data: see [event.Registry.Typed]. An error means trouble
// with NATS, or that this program cannot read a genuine event: [event.Unreadable]
// tells. A redelivered message gets the same answer.
func (r *Reader) Read(ctx context.Context, msg jetstream.Msg) (e event.Event, genuine bool, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return event.Event{}, false, fmt.Errorf("read delivery: %w", err)
	}
	e, err = r.Check(ctx, msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream)
	if errors.Is(err, errBroken) || IsErased(err) {
		return event.Event{}, false, nil
	}
	return e, true, err
}

// Check is [Reader.Read] for a message that is already taken apart; sequence is its
// place in the stream. What is not genuine is a [*ForeignError] that says why; what
// [IsErased] reports is on its way out.
func (r *Reader) Check(ctx context.Context, subject string, header nats.Header, data []byte, sequence uint64) (event.Event, error) {
	e, err := r.store.record(message{subject: subject, sequence: sequence, header: header, data: data})
	if err != nil {
		return event.Event{}, err
	}
	if err := r.place(ctx, e); err != nil {
		return event.Event{}, err
	}
	return e.Event, e.unreadable
}

// place finds out whether e continues its aggregate.
func (r *Reader) place(ctx context.Context, e Recorded) error {
	if err := r.continues(ctx, e); err != nil {
		return fmt.Errorf("check %s %s: %w", r.store.stream.Entity, e.Subject, err)
	}
	r.remember(e.Event)
	return nil
}

// continues returns errBroken unless e continues its aggregate.
func (r *Reader) continues(ctx context.Context, e Recorded) error {
	r.mu.Lock()
	known, ok := r.tails.Get(e.Subject)
	r.mu.Unlock()
	switch {
	case ok && (e.anchored && known.follows(e.Event) || known.Sequence == e.Sequence):
		return nil // anchored, since a consumer with a filter has not met all that lies between
	case e.Version == 1 && e.anchored && Tail{}.follows(e.Event):
		return nil
	}
	_, err := r.store.walkFrom(ctx, e, 0, direct)
	if !errors.Is(err, errBroken) && !errors.Is(err, errNoMessage) {
		return err
	}
	events, _, err := r.store.scan(ctx, e.Subject, 0)
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(events, func(known Recorded) bool { return known.Sequence == e.Sequence }):
		return nil
	case len(events) > 0 && events[0].Version > 1 && e.Sequence < events[0].Sequence:
		return errErased
	default:
		return errBroken
	}
}

// remember notes where e leaves its aggregate, unless a later event is known, as
// after a redelivery.
func (r *Reader) remember(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.tails.Get(e.Subject); ok && known.Version > e.Version {
		return
	}
	r.tails.Add(e.Subject, Tail{Version: e.Version, Sequence: e.Sequence, step: e.Step})
}
