package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// Recorded is an event of history with its typed data.
type Recorded struct {
	event.Event
	Data event.Data

	// rooted says that the stream itself vouched, when it stored the event, that the
	// aggregate had no message before.
	rooted bool
	// unreadable is event.ErrUnknownType or event.ErrNewerVersion: a later release
	// may have written the event.
	unreadable error
}

// errBroken is for links that do not hold.
var errBroken = &ForeignError{Reason: "it does not continue its aggregate's versions"}

// Load returns the events of aggregate id, oldest first, and its tail. An aggregate
// without events gives none and the zero Tail. On a replicated stream the answer may
// lag behind a write that was just acknowledged, except that "no events" is always
// confirmed by the leader; appends notice.
func (s *Store) Load(ctx context.Context, id string) ([]Recorded, Tail, error) {
	return s.LoadAfter(ctx, id, 0)
}

// LoadAfter is [Store.Load] for the events with a version greater than version.
func (s *Store) LoadAfter(ctx context.Context, id string, version uint64) ([]Recorded, Tail, error) {
	return s.load(ctx, id, version, direct)
}

// LoadLatest is [Store.LoadAfter] read from the stream's leader, so that it has
// everything acknowledged before the call. It costs the leader more than Load does.
func (s *Store) LoadLatest(ctx context.Context, id string, version uint64) ([]Recorded, Tail, error) {
	return s.load(ctx, id, version, leader)
}

func (s *Store) load(ctx context.Context, id string, version uint64, from source) ([]Recorded, Tail, error) {
	if err := event.CheckID(id); err != nil {
		return nil, Tail{}, err
	}
	events, tail, err := s.walk(ctx, id, version, from)
	if errors.Is(err, errBroken) || errors.Is(err, errNoMessage) {
		events, tail, err = s.scan(ctx, id, version)
	}
	if err != nil {
		return nil, Tail{}, fmt.Errorf("load %s %s: %w", s.stream.Entity, id, err)
	}
	for _, e := range events {
		if e.unreadable != nil {
			return nil, Tail{}, fmt.Errorf("load %s %s: version %d: %w", s.stream.Entity, id, e.Version, e.unreadable)
		}
	}
	return events, tail, nil
}

// walk loads along the links. It fails with a ForeignError or errNoMessage when they
// do not hold.
func (s *Store) walk(ctx context.Context, id string, version uint64, from source) ([]Recorded, Tail, error) {
	m, err := s.last(ctx, s.stream.Of(id), from)
	if errors.Is(err, errNoMessage) && from == direct {
		m, err = s.last(ctx, s.stream.Of(id), leader)
	}
	if errors.Is(err, errNoMessage) {
		return nil, Tail{}, nil
	}
	if err != nil {
		return nil, Tail{}, err
	}
	newest, err := s.record(m)
	if err != nil {
		return nil, Tail{}, err
	}
	if newest.Version <= version {
		return nil, tailAt(newest.Event, m.sequence), nil
	}
	chain, err := s.walkFrom(ctx, newest, version, from)
	if err != nil {
		return nil, Tail{}, err
	}
	return chain, tailAt(newest.Event, m.sequence), nil
}

// walkFrom returns newest and the events before it down to but without version,
// oldest first.
func (s *Store) walkFrom(ctx context.Context, newest Recorded, version uint64, from source) ([]Recorded, error) {
	chain := make([]Recorded, 1, min(newest.Version-version, 64))
	chain[0] = newest
	for oldest := newest; oldest.Version > version+1; oldest = chain[len(chain)-1] {
		sequences := predecessors(oldest.Event, oldest.Version-version-1)
		if len(sequences) == 0 {
			return nil, errBroken
		}
		messages, err := s.allAt(ctx, sequences, from)
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			before, err := s.record(m)
			if err != nil {
				return nil, err
			}
			after := chain[len(chain)-1]
			if before.Subject != after.Subject || !tailAt(before.Event, before.Sequence).follows(after.Event) {
				return nil, errBroken
			}
			chain = append(chain, before)
		}
	}
	if first := chain[len(chain)-1]; first.Version == 1 && (!first.rooted || !Tail{}.follows(first.Event)) {
		return nil, errBroken
	}
	slices.Reverse(chain)
	return chain, nil
}

// scan loads by reading every message of the aggregate from the leader, subject by
// subject, and keeps those that continue it. It is the repair for a broken chain:
// slower than walk, and right whatever was published.
func (s *Store) scan(ctx context.Context, id string, version uint64) ([]Recorded, Tail, error) {
	stream, err := s.js.Stream(ctx, s.stream.Name)
	if err != nil {
		return nil, Tail{}, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.stream.Of(id)))
	if err != nil {
		return nil, Tail{}, err
	}
	var messages []message
	for subject := range info.State.Subjects {
		for next := uint64(1); ; {
			m, err := s.getFromLeader(ctx, getRequest{Sequence: next, Next: subject})
			if errors.Is(err, errNoMessage) {
				break
			}
			if err != nil {
				return nil, Tail{}, err
			}
			messages = append(messages, m)
			next = m.sequence + 1
		}
	}
	slices.SortFunc(messages, func(a, b message) int { return cmp.Compare(a.sequence, b.sequence) })
	var (
		events []Recorded
		tail   Tail
	)
	for _, m := range messages {
		tail.Last = max(tail.Last, m.sequence)
		e, err := s.record(m)
		if err != nil || !tail.follows(e.Event) {
			continue
		}
		tail = tail.with(e.Event)
		if e.Version > version {
			events = append(events, e)
		}
	}
	return events, tail, nil
}

// record reads m as an event of this stream's history. It does not look at other
// messages. Every error is a [*ForeignError].
func (s *Store) record(m message) (Recorded, error) {
	e, err := event.Decode(m.header, m.data)
	if err != nil {
		return Recorded{}, &ForeignError{Reason: err.Error()}
	}
	e.Stream, e.Sequence = s.stream.Name, m.sequence
	reason := ""
	switch {
	case e.Entity() != s.stream.Entity || e.HistorySubject() != m.subject:
		reason = "its subject does not fit its type and aggregate id"
	case event.CheckID(e.Subject) != nil:
		reason = "its aggregate id is malformed"
	case e.Version < 1 || e.Step < 1:
		reason = "it has no aggregate version or step"
	case e.Step > maxBatch, uint64(e.Step) > e.Version, e.Sequence < uint64(e.Step), len(e.Previous) > 0 && e.Previous[0] >= e.Sequence:
		reason = "its links are impossible"
	case e.DataSchema == "":
		reason = "it has no dataschema"
	}
	if reason != "" {
		return Recorded{}, &ForeignError{Reason: reason}
	}
	data, err := s.events.Decode(e)
	if err != nil && !errors.Is(err, event.ErrUnknownType) && !errors.Is(err, event.ErrNewerVersion) {
		return Recorded{}, &ForeignError{Reason: err.Error()}
	}
	return Recorded{Event: e, Data: data, rooted: s.isRooted(m), unreadable: err}, nil
}

// isRooted reports whether the stream stored m on the expectation that its
// aggregate had no message. The headers are the server's word: it refuses the
// message when they do not hold. Mirrors and sources strip them.
func (s *Store) isRooted(m message) bool {
	return single(m.header, jetstream.ExpectedLastSubjSeqHeader) == "0" &&
		single(m.header, jetstream.ExpectedLastSubjSeqSubjHeader) == s.stream.Of(m.subject[strings.LastIndexByte(m.subject, '.')+1:])
}

// single returns the value of a header that is there once.
func single(h nats.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
