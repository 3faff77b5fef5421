package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
)

// Recorded is an event of history with its typed data.
type Recorded struct {
	event.Event
	Data event.Data

	// anchored says that the stream itself vouched, when it stored the event, that the
	// aggregate's last message was the event which this one continues, or that it had
	// none. So nothing came between them, and the link back is the only one there is.
	anchored bool
	// gap is where the link back is not anchored because foreign messages lay in between:
	// the sequence of the aggregate's last message, by the stream's word, when the event
	// was stored. 0 is for none.
	gap uint64
	// begins says that the event erases its aggregate, and that the stream stored it
	// on an expectation about what came before: it may be where the history begins.
	begins bool
	// unreadable is an error that event.Unreadable reports: this program cannot read
	// the event, which may be genuine all the same.
	unreadable error
}

// errBroken is for links that do not hold.
var errBroken = &ForeignError{Reason: "it does not continue its aggregate's versions"}

// Load returns the events of aggregate id, oldest first, and its tail. An aggregate
// without events gives none and the zero Tail. On a replicated stream the answer may
// lag behind a write that was just acknowledged, except that "no events" is always
// confirmed by the leader; appends notice.
func (s *Store) Load(ctx context.Context, id string) ([]Recorded, Tail, error) {
	return s.LoadAfter(ctx, id, Tail{})
}

// LoadAfter is [Store.Load] for the events that came after tail, which the caller has
// from an earlier answer; only its Version and Sequence count. Where the history does
// not go on from there, since it was erased, what has a later version is returned, and
// [Recorded.Follows] tells.
func (s *Store) LoadAfter(ctx context.Context, id string, tail Tail) ([]Recorded, Tail, error) {
	return s.load(ctx, id, tail, direct)
}

// LoadLatest is [Store.LoadAfter] read from the stream's leader, so that it has
// everything acknowledged before the call. It costs the leader more than Load does.
func (s *Store) LoadLatest(ctx context.Context, id string, tail Tail) ([]Recorded, Tail, error) {
	return s.load(ctx, id, tail, leader)
}

// LoadSince is [Store.LoadAfter] for a caller who has to read first how much it knows:
// known runs while the aggregate's last message is read, and returns the tail.
func (s *Store) LoadSince(ctx context.Context, id string, known func(ctx context.Context) (Tail, error)) ([]Recorded, Tail, error) {
	if err := event.CheckID(id); err != nil {
		return nil, Tail{}, err
	}
	began := s.meters.now(ctx, s.meters.load)
	var after Tail
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		after, err = known(both)
		return err
	})
	newest, err := s.newest(ctx, id, direct)
	if err := group.Wait(); err != nil {
		return nil, Tail{}, err
	}
	return s.finish(ctx, began, id, after, func() ([]Recorded, Tail, error) {
		if err != nil {
			return nil, Tail{}, err
		}
		return s.walk(ctx, newest, after, direct)
	})
}

func (s *Store) load(ctx context.Context, id string, after Tail, from source) ([]Recorded, Tail, error) {
	if err := event.CheckID(id); err != nil {
		return nil, Tail{}, err
	}
	return s.finish(ctx, s.meters.now(ctx, s.meters.load), id, after, func() ([]Recorded, Tail, error) {
		newest, err := s.newest(ctx, id, from)
		if err != nil {
			return nil, Tail{}, err
		}
		return s.walk(ctx, newest, after, from)
	})
}

// finish repairs what walk found broken, and refuses what this program cannot read.
func (s *Store) finish(ctx context.Context, began time.Time, id string, after Tail, walk func() ([]Recorded, Tail, error)) (_ []Recorded, _ Tail, err error) {
	events, tail, err := walk()
	defer func() { s.meters.loadEnded(ctx, began, len(events), err) }()
	if errors.Is(err, errBroken) || errors.Is(err, errNoMessage) {
		s.meters.repairs.Add(ctx, 1, s.meters.stream...)
		events, tail, err = s.scan(ctx, id, after.Version)
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

// newest returns the last event of an aggregate, with version 0 when there is none,
// which the leader confirms.
func (s *Store) newest(ctx context.Context, id string, from source) (Recorded, error) {
	m, err := s.last(ctx, s.stream.Of(id), from)
	if errors.Is(err, errNoMessage) && from == direct {
		m, err = s.last(ctx, s.stream.Of(id), leader)
	}
	if errors.Is(err, errNoMessage) {
		return Recorded{}, nil
	}
	if err != nil {
		return Recorded{}, err
	}
	return s.record(m)
}

// walk loads along the links, from newest back to but without after. It fails with a
// ForeignError or errNoMessage when they do not hold, and when they lead to another
// event than that of after, which a forgery with its version would.
func (s *Store) walk(ctx context.Context, newest Recorded, after Tail, from source) ([]Recorded, Tail, error) {
	if newest.Version == 0 && after.Version == 0 {
		return nil, Tail{}, nil
	}
	if newest.Version < after.Version || newest.Version == 0 {
		return nil, Tail{}, errBroken // a replica is behind, or the message is foreign
	}
	// The event at after is read too, since the links above it could lead to another.
	chain, err := s.walkFrom(ctx, newest, max(after.Version, 1)-1, from)
	if err != nil {
		return nil, Tail{}, err
	}
	if after.Version > 0 && chain[0].Sequence != after.Sequence {
		return nil, Tail{}, errBroken
	}
	return chain[min(after.Version, 1):], tailAt(newest.Event, newest.Sequence), nil
}

// Follows reports whether e is the event right after the one that has version and
// lies at sequence. Version 0 is before the first.
func (e Recorded) Follows(version, sequence uint64) bool {
	return Tail{Version: version, Sequence: sequence, step: e.Step - 1}.follows(e.Event)
}

// walkFrom returns newest and the events before it down to but without version,
// oldest first. Each must be anchored, or nothing in its gap may be an event of its
// version: else two messages may link to the same event, and which of them continues it
// only [Store.scan] can tell.
func (s *Store) walkFrom(ctx context.Context, newest Recorded, version uint64, from source) ([]Recorded, error) {
	if !newest.isLinked() {
		return nil, errBroken
	}
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
			if !before.isLinked() || before.Subject != after.Subject || !tailAt(before.Event, before.Sequence).follows(after.Event) {
				return nil, errBroken
			}
			chain = append(chain, before)
		}
	}
	if first := chain[len(chain)-1]; first.Version == 1 && !(Tail{}).follows(first.Event) {
		return nil, errBroken
	}
	slices.Reverse(chain)
	return chain, s.checkGaps(ctx, chain)
}

// scan loads by reading every message of the aggregate from the leader, subject by
// subject, and keeps those that continue it. It is the repair for a broken chain:
// slower than walk, and right whatever was published.
func (s *Store) scan(ctx context.Context, id string, version uint64) ([]Recorded, Tail, error) {
	messages, err := s.messagesOf(ctx, id)
	if err != nil {
		return nil, Tail{}, err
	}
	chain, tail := s.chain(messages)
	for i, e := range chain {
		if e.Version > version {
			return chain[i:], tail, nil
		}
	}
	return nil, tail, nil
}

// messagesOf returns all messages on the subjects of an aggregate, oldest first.
func (s *Store) messagesOf(ctx context.Context, id string) ([]message, error) {
	subjects, err := s.subjectsOf(ctx, id)
	if err != nil {
		return nil, err
	}
	var messages []message
	for _, subject := range subjects {
		for next := uint64(1); ; {
			m, err := s.getFromLeader(ctx, getRequest{Sequence: next, Next: subject})
			if errors.Is(err, errNoMessage) {
				break
			}
			if err != nil {
				return nil, err
			}
			messages = append(messages, m)
			next = m.sequence + 1
		}
	}
	slices.SortFunc(messages, func(a, b message) int { return cmp.Compare(a.sequence, b.sequence) })
	return messages, nil
}

// subjectsOf returns the subjects on which an aggregate has messages.
func (s *Store) subjectsOf(ctx context.Context, id string) ([]string, error) {
	stream, err := s.js.Stream(ctx, s.stream.Name)
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.stream.Of(id)))
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(info.State.Subjects)), nil
}

// chain returns those of an aggregate's messages that continue it, and where they
// end. Where nothing is left before the event that erased the aggregate, that event
// is the beginning; on a living aggregate such an event is like any other.
func (s *Store) chain(messages []message) ([]Recorded, Tail) {
	var (
		events []Recorded
		tail   Tail
	)
	for _, m := range messages {
		tail.Last = max(tail.Last, m.sequence)
		e, err := s.record(m)
		continues := tail.follows(e.Event) || tail.Version == 0 && e.begins
		if err != nil || !continues {
			continue
		}
		tail = tail.with(e.Event)
		events = append(events, e)
	}
	return events, tail
}

// record reads m as an event of this stream's history. It does not look at other
// messages. Every error is a [*ForeignError].
func (s *Store) record(m message) (Recorded, error) {
	e, err := s.envelope(m)
	if err != nil {
		return Recorded{}, err
	}
	e, data, err := s.events.Typed(e)
	if err != nil && !event.Unreadable(err) {
		return Recorded{}, &ForeignError{Reason: err.Error()}
	}
	return s.recorded(m, e, data, err), nil
}

func (s *Store) recorded(m message, e event.Event, data event.Data, unreadable error) Recorded {
	anchored, gap := s.link(m, e)
	return Recorded{Event: e, Data: data, anchored: anchored, gap: gap, begins: s.mayBegin(m, e), unreadable: unreadable}
}

// envelope is record without the data.
func (s *Store) envelope(m message) (event.Event, error) {
	e, err := event.Decode(m.header, m.data)
	if err != nil {
		return event.Event{}, &ForeignError{Reason: err.Error()}
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
	case !s.events.Fits(e.Type, e.Version):
		reason = "its type and its version do not go together"
	}
	if reason != "" {
		return event.Event{}, &ForeignError{Reason: reason}
	}
	return e, nil
}

// mayBegin reports whether e erases its aggregate, continues something and was stored
// on the expectation of it. Where foreign messages lay in between, the expectation
// was the last of them.
func (s *Store) mayBegin(m message, e event.Event) bool {
	if e.Type != s.stream.Erased() || e.Step != 1 || len(e.Previous) == 0 {
		return false
	}
	expected, ok := s.expected(m, e)
	return ok && expected >= e.Previous[0]
}

// link returns what the stream vouched for when it stored m: that its aggregate's last
// message was the one e continues, or a later one, where the gap ends.
func (s *Store) link(m message, e event.Event) (anchored bool, gap uint64) {
	expected, ok := s.expected(m, e)
	switch {
	case ok && expected == continued(e):
		return true, 0
	case ok && expected > continued(e) && expected < e.Sequence:
		return false, expected
	default:
		return false, 0
	}
}

// expected returns the sequence of the last message that its aggregate had when m was
// stored, 0 for none. The headers are the server's word: it refuses the message when
// they do not hold. Mirrors and sources strip them.
func (s *Store) expected(m message, e event.Event) (sequence uint64, ok bool) {
	sequence, err := strconv.ParseUint(single(m.header, jetstream.ExpectedLastSubjSeqHeader), 10, 64)
	return sequence, err == nil && single(m.header, jetstream.ExpectedLastSubjSeqSubjHeader) == s.stream.Of(e.Subject)
}

// continued returns the sequence of the event before the decision of e, 0 for none.
func continued(e event.Event) uint64 {
	if len(e.Previous) == 0 {
		return 0
	}
	return e.Previous[0]
}

// single returns the value of a header that is there once.
func single(h nats.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
