package eventstore

import (
	"context"
	"fmt"
	"iter"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
)

const (
	importEvents = 4096      // in flight
	importBytes  = 16 << 20  // in flight
	importCache  = 256 << 10 // aggregates an import remembers, about 400 bytes each
	importTries  = 20        // in a row that bring nothing
	importLoads  = 12        // in parallel
)

// ImportError says how far an import came. Run it again with the same events, or
// without the first Stored of them: events that are in the stream already are
// recognised by their source and id.
type ImportError struct {
	Stored int // so many events from the first are in the stream; some after them may be
	Err    error
}

// Error gives the number and the reason.
func (e *ImportError) Error() string {
	return fmt.Sprintf("import: %d events are stored: %v", e.Stored, e.Err)
}

// Unwrap returns the reason.
func (e *ImportError) Unwrap() error { return e.Err }

// Import appends events of any number of aggregates without concurrency control of
// the caller's, as when another system's history is taken over: each event comes
// after what its aggregate has by then. The events of one aggregate keep their order,
// each is a decision of its own, and attributes like id, time and correlation stay as
// they are. An event that the aggregate holds already, by source and id, is skipped,
// so an import can be repeated.
//
// At most 4,096 events are in flight. After each such portion progress, unless nil,
// is called with how many events from the first are stored. Where the stream allows
// fast ingest (allow_batched) and nobody else writes, they go as one such batch; else
// aggregates go side by side, each event after its predecessor's acknowledgement. An error from events ends
// the import like any other, with an [*ImportError].
func (s *Store) Import(ctx context.Context, events iter.Seq2[event.Event, error], progress func(stored int)) error {
	stream, err := s.js.Stream(ctx, s.stream.Name)
	if err != nil {
		return &ImportError{Err: fmt.Errorf("look at stream %s: %w", s.stream.Name, err)}
	}
	known, err := lru.New[string, *imported](importCache)
	if err != nil {
		panic(err) // only for a size below one
	}
	im := &importer{store: s, stream: stream, known: known, fast: stream.CachedInfo().Config.AllowBatchPublish}
	stored := 0
	store := func(portion []event.Event) error {
		if err := im.storeAll(ctx, portion); err != nil {
			return &ImportError{Stored: stored + im.settled, Err: err}
		}
		stored += len(portion)
		if progress != nil {
			progress(stored)
		}
		return nil
	}
	var (
		portion []event.Event
		size    int
	)
	for e, err := range events {
		if err != nil {
			if failed := store(portion); failed != nil {
				return failed
			}
			return &ImportError{Stored: stored, Err: err}
		}
		portion, size = append(portion, e), size+len(e.Data)+batchHeaders
		if len(portion) == importEvents || size >= importBytes {
			if err := store(portion); err != nil {
				return err
			}
			portion, size = portion[:0], 0
		}
	}
	if len(portion) == 0 {
		return nil
	}
	return store(portion)
}

// imported is what an import knows of one aggregate.
type imported struct {
	tail Tail
	held map[eventKey]struct{} // events that were there when the import met the aggregate
}

type eventKey struct{ subject, source, id string }

func keyOf(e event.Event) eventKey { return eventKey{e.Subject, e.Source, e.ID} }

// importer sends portions. Where the stream allows fast ingest it expects to be alone:
// it links each event to where the one before will be if nobody else writes, and each
// message says so (Nats-Expected-Last-Sequence). The stream stores the messages up to
// the first for which that does not hold, so being wrong costs another run and never a
// wrong link. The rest of such a portion, and every portion of another stream, goes
// side by side.
type importer struct {
	store   *Store
	stream  jetstream.Stream
	fast    bool
	known   *lru.Cache[string, *imported]
	next    uint64 // the sequence the stream gives next, if nobody else writes; 0 when not known
	careful bool   // an aggregate was met that had events: look before the first event of each

	// Of the portion under way:
	crowded bool                  // it goes side by side
	settled int                   // from its first event
	stored  map[eventKey]struct{} // beyond that
}

// storeAll stores a portion, or fails with settled telling how far it came.
func (im *importer) storeAll(ctx context.Context, portion []event.Event) error {
	im.settled, im.crowded, im.stored = 0, !im.fast, make(map[eventKey]struct{})
	for idle := 0; im.settled < len(portion); {
		before := im.settled
		trouble, err := im.try(ctx, portion[before:])
		switch {
		case err != nil:
			return err
		case trouble == nil:
			continue
		case im.settled > before:
			idle = 0
		}
		if idle++; idle > importTries {
			return trouble
		}
		if err := pause(ctx, min(time.Duration(idle-1)*retryPause, time.Second)); err != nil {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
	}
	return nil
}

// try sends those of events that the stream does not hold and counts what is settled.
// It fails with trouble when another try may do better, else with err.
func (im *importer) try(ctx context.Context, events []event.Event) (trouble, err error) {
	if im.careful {
		if err := im.look(ctx, events); err != nil {
			return err, nil
		}
	}
	if im.crowded {
		return im.sendSideBySide(ctx, events)
	}
	return im.sendFast(ctx, events)
}

// sendFast sends events in their order, as one batch.
func (im *importer) sendFast(ctx context.Context, events []event.Event) (trouble, err error) {
	if im.next == 0 {
		info, err := im.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", im.store.stream.Name, err), nil
		}
		im.next = info.State.LastSeq + 1
	}
	var (
		pages  [2]draft                       // a message is sent when the next one is made
		sent   = make([]int, 0, len(events))  // which event each message is
		before = make([]Tail, 0, len(events)) // its aggregate's tail before it
		done   = len(events)
		failed error
	)
	stored, err := im.store.ingestFast(ctx, func(yield func(*nats.Msg) bool) {
		for i, e := range events {
			if im.has(e) {
				continue
			}
			a, sequence := im.aggregate(e.Subject), im.next+uint64(len(sent))
			page := &pages[len(sent)%len(pages)]
			page.clear()
			message, linked, err := im.encode(ctx, e, a.tail, page)
			if err != nil { // what comes before it is stored first
				failed, done = err, i
				return
			}
			sent, before = append(sent, i), append(before, a.tail)
			message.Header[jetstream.ExpectedLastSeqHeader] = []string{formatSequence(sequence - 1)}
			linked.Sequence = sequence
			a.tail = a.tail.with(linked)
			if !yield(message) {
				return
			}
		}
	})
	im.next += uint64(stored)
	switch {
	case done == 0:
		return nil, failed
	case err == nil:
		im.settled += done
		return nil, nil
	case len(sent) == 0:
		return err, nil
	}
	im.settled += sent[stored]
	for i := len(sent) - 1; i >= stored; i-- {
		im.aggregate(events[sent[i]].Subject).tail = before[i]
	}
	return im.recover(ctx, err, events, events[sent[stored]].Subject)
}

// sendSideBySide sends the first of each aggregate's events, then the second, and so on:
// where an event is stored is known before the next one is linked to it.
func (im *importer) sendSideBySide(ctx context.Context, events []event.Event) (trouble, err error) {
	im.next = 0
	left := make([]int, len(events)) // which events
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 && trouble == nil {
		var (
			messages []*nats.Msg
			linked   []event.Event
			later    []int
			busy     = make(map[string]struct{}, len(left))
		)
		for _, i := range left {
			e := events[i]
			if _, twice := busy[e.Subject]; twice {
				later = append(later, i)
				continue
			}
			if im.has(e) {
				continue
			}
			busy[e.Subject] = struct{}{}
			message, link, err := im.encode(ctx, e, im.aggregate(e.Subject).tail, new(draft))
			switch {
			case err != nil && i == 0:
				return nil, err
			case err != nil: // what comes before it is stored first
				return im.sendSideBySide(ctx, events[:i])
			}
			messages, linked = append(messages, message), append(linked, link)
		}
		left = later
		if trouble, err = im.sendWave(ctx, messages, linked); err != nil {
			return nil, err
		}
	}
	if trouble == nil {
		im.settled += len(events)
	}
	return trouble, nil
}

// sendWave sends messages of as many aggregates and notes where their events are.
func (im *importer) sendWave(ctx context.Context, messages []*nats.Msg, linked []event.Event) (trouble, err error) {
	acks, err := im.store.ingestSideBySide(ctx, messages)
	if err != nil {
		im.forget(linked)
		return err, nil
	}
	for i, ack := range acks {
		e := linked[i]
		if ack.Error == nil {
			e.Sequence = ack.Sequence
			a := im.aggregate(e.Subject)
			a.tail = a.tail.with(e)
			im.stored[keyOf(e)] = struct{}{}
			continue
		}
		trouble = fmt.Errorf("ingest: %w", ack.Error)
		if classify(trouble) == invalid {
			return nil, fmt.Errorf("%s %s: %w", im.store.stream.Entity, e.Subject, trouble)
		}
		im.forget(linked[i : i+1])
	}
	return trouble, nil
}

// encode returns the message of e, which follows tail and lies in d, and e with its
// links.
func (im *importer) encode(ctx context.Context, e event.Event, tail Tail, d *draft) (*nats.Msg, event.Event, error) {
	link := []event.Event{e}
	messages, err := im.store.encode(ctx, e.Subject, tail, link, d)
	if err != nil {
		return nil, e, fmt.Errorf("%s %s: %w", im.store.stream.Entity, e.Subject, err)
	}
	return messages[0], link[0], nil
}

// recover finds out why a fast batch ended early. id is the aggregate of the first event
// that is not stored.
func (im *importer) recover(ctx context.Context, cause error, events []event.Event, id string) (trouble, err error) {
	expected := im.next
	im.next = 0
	switch classify(cause) {
	case invalid:
		return nil, fmt.Errorf("%s %s: %w", im.store.stream.Entity, id, cause)
	case refused:
	case stored, retry, unknown: // anything may be stored
		im.forget(events)
		return cause, nil
	}
	info, err := im.stream.Info(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("look at stream %s: %w", im.store.stream.Name, err), nil
	case info.State.LastSeq+1 == expected: // not the stream has moved, but the aggregate
		im.careful = true
		im.known.Remove(id)
	default:
		im.crowded = true
	}
	return cause, nil
}

// forget makes the import look at the aggregates of events before it goes on.
func (im *importer) forget(events []event.Event) {
	im.careful = true
	for _, e := range events {
		im.known.Remove(e.Subject)
	}
}

// has reports whether the stream holds e already.
func (im *importer) has(e event.Event) bool {
	_, there := im.aggregate(e.Subject).held[keyOf(e)]
	if !there {
		_, there = im.stored[keyOf(e)]
	}
	return there
}

// aggregate returns what is known of an aggregate, by default that it has no events.
func (im *importer) aggregate(id string) *imported {
	a, ok := im.known.Get(id)
	if !ok {
		a = &imported{}
		im.known.Add(id, a)
	}
	return a
}

// look loads those aggregates of events that the import does not know.
func (im *importer) look(ctx context.Context, events []event.Event) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(importLoads)
	looking := make(map[string]struct{})
	for _, e := range events {
		_, twice := looking[e.Subject]
		if twice || im.known.Contains(e.Subject) || event.CheckID(e.Subject) != nil {
			continue
		}
		looking[e.Subject] = struct{}{}
		group.Go(func() error {
			recorded, tail, err := im.store.LoadLatest(ctx, e.Subject, Tail{})
			if err != nil {
				return err
			}
			a := &imported{tail: tail, held: make(map[eventKey]struct{}, len(recorded))}
			for _, r := range recorded {
				a.held[keyOf(r.Event)] = struct{}{}
			}
			im.known.Add(e.Subject, a)
			return nil
		})
	}
	return group.Wait()
}
