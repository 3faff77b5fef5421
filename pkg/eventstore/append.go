package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// retryPause is how long Append waits before it publishes again after a failure
// that stored nothing, or that left open whether it did.
const retryPause = 20 * time.Millisecond

// Append adds events to aggregate id after tail and returns the new tail, whose
// Sequence is that of the last event. Events come from [event.Registry.New]; Append
// sets their version, step, links and trace context. With claims, or with several
// events, all of it is one atomic batch.
//
// Errors: [*ConflictError] when the aggregate is not at tail, [*TakenError] when
// somebody else holds a claim, [ErrTooLarge], event.ErrInvalid for events that do
// not belong there, and [ErrOutcomeUnknown] when ctx ends before the outcome is
// known. On any other error nothing was stored.
//
// Two events with the same source and id are the same event: when the aggregate
// already holds the first of events after tail, Append takes the decision for its
// own, whose acknowledgement was lost, and succeeds.
func (s *Store) Append(ctx context.Context, id string, tail Tail, events []event.Event, claims ...Claim) (_ Tail, err error) {
	ctx, span := s.meters.sending(ctx, events)
	began := s.meters.now(ctx, s.meters.append)
	defer func() {
		s.meters.appended(ctx, began, len(events), err)
		sentAs(ctx, span, err)
	}()
	if len(events)+len(claims) > maxBatch {
		return Tail{}, fmt.Errorf("append to %s: %w: %d events and %d claims in one decision, at most %d together", s.stream.Name, ErrTooLarge, len(events), len(claims), maxBatch)
	}
	d := s.drafts.take()
	messages, err := s.encode(ctx, id, tail, events, d)
	if err != nil {
		return Tail{}, fmt.Errorf("append to %s: %w", s.stream.Name, err)
	}
	done, err := s.append(ctx, id, tail, events, messages, claims)
	if s.group == nil { // a group may still have the messages after ctx has ended
		s.drafts.putBack(d)
	}
	if err != nil {
		return Tail{}, fmt.Errorf("append to %s %s: %w", s.stream.Entity, id, err)
	}
	return done, nil
}

// encode links events to tail and to each other and returns their messages, which lie
// in d.
func (s *Store) encode(ctx context.Context, id string, tail Tail, events []event.Event, d *draft) ([]*nats.Msg, error) {
	if err := event.CheckID(id); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: no events", event.ErrInvalid)
	}
	parent, state := telemetry.TraceParent(ctx)
	expected := []string{formatSequence(tail.Last)}
	filter := []string{s.stream.Of(id)}
	for i := range events {
		e := &events[i]
		if e.Subject != id || e.Entity() != s.stream.Entity {
			return nil, fmt.Errorf("%w: %s of %q does not belong to %s %q", event.ErrInvalid, e.Type, e.Subject, s.stream.Entity, id)
		}
		e.Version, e.Step, e.Previous = tail.Version+uint64(i)+1, i+1, tail.Previous
		if parent != "" {
			e.TraceParent, e.TraceState = parent, state
		}
		if err := e.Validate(); err != nil {
			return nil, err
		}
		m := d.message(*e)
		m.Header[jetstream.ExpectedLastSubjSeqHeader] = expected
		m.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = filter
		if size := m.Size(); size > MaxMessageSize-batchHeaders {
			return nil, fmt.Errorf("%w: %s has %d bytes, at most %d", ErrTooLarge, e.Type, size, MaxMessageSize-batchHeaders)
		}
	}
	return d.messages, nil
}

// batchHeaders is room for the headers that PublishBatch adds.
const batchHeaders = 256

func (s *Store) append(ctx context.Context, id string, tail Tail, events []event.Event, messages []*nats.Msg, claims []Claim) (Tail, error) {
	from, publish := direct, s.publish
	if s.group != nil && len(claims) == 0 {
		publish = func(ctx context.Context, messages []*nats.Msg) (uint64, error) {
			return s.group.publish(ctx, id, messages)
		}
	}
	doubt := false // an earlier try may have stored the events
	for {
		claimed, err := s.claimMessages(ctx, id, claims, from)
		if errors.Is(err, ErrTaken) {
			return Tail{}, doubtful(doubt, s.explainTaken(ctx, id, tail, err))
		}
		if err != nil {
			return Tail{}, doubtful(doubt, err)
		}
		last, err := publish(ctx, append(slices.Clip(messages), claimed...))
		failure := err
		publish = s.publish // another try goes alone
		switch classify(err) {
		case stored:
			return s.advance(tail, events, last-uint64(len(claimed))), nil
		case invalid:
			return Tail{}, err
		case refused:
			done, resolved, err := s.resolve(ctx, id, tail, events)
			if resolved || err != nil && !isLost(ctx, err) {
				return done, doubtful(doubt, err)
			}
			// The aggregate is where we expected it: a claim moved, or a write of
			// somebody else is in flight.
			from = leader
		case unknown:
			doubt = true
		case retry:
		}
		if err := pause(ctx, retryPause); err != nil {
			return Tail{}, doubtful(doubt, fmt.Errorf("%w: %w", err, failure))
		}
	}
}

// doubtful says of err that it leaves the outcome open, when an earlier try did. A
// conflict and a claim that is taken settle it.
func doubtful(doubt bool, err error) error {
	if !doubt || err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrTaken) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// isLost reports whether err is a read's own timeout, and not the end of ctx.
func isLost(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
}

// publish sends one decision and returns the sequence of its last message. An
// acknowledgement that does not come within publishTimeout counts as lost.
func (s *Store) publish(ctx context.Context, messages []*nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if len(messages) > 1 {
		return PublishBatch(ctx, s.js.Conn(), messages)
	}
	unbatch(messages[0]) // an earlier try may have been a batch, of which only this is still needed
	return publishOne(ctx, s.js.Conn(), messages[0])
}

// resolve finds out, from the leader, why an append was refused. Either our events
// are there (an earlier acknowledgement was lost), or somebody else's are, which is
// a conflict; resolved is false when the aggregate is where it was expected.
func (s *Store) resolve(ctx context.Context, id string, tail Tail, events []event.Event) (done Tail, resolved bool, err error) {
	since, now, err := s.LoadLatest(ctx, id, tail)
	if err != nil {
		return Tail{}, false, err
	}
	if now.Last == tail.Last && now.Version == tail.Version {
		return Tail{}, false, nil
	}
	for i, e := range since {
		if e.ID == events[0].ID && e.Source == events[0].Source && i+len(events) <= len(since) {
			for j := range events {
				events[j] = since[i+j].Event
			}
			return tailAt(events[len(events)-1], now.Last), true, nil
		}
	}
	return Tail{}, false, &ConflictError{Stream: s.stream.Name, ID: id, Tail: now, Events: since, Expects: tail.Last}
}

// explainTaken prefers to report what became of the aggregate itself: when it has
// moved, the claim may be its own from an earlier try.
func (s *Store) explainTaken(ctx context.Context, id string, tail Tail, taken error) error {
	_, _, err := s.resolve(ctx, id, tail, []event.Event{{}})
	if err != nil {
		return err
	}
	return taken
}

// advance returns the tail after events, the last of which is at sequence, and
// notes in events where they are.
func (s *Store) advance(tail Tail, events []event.Event, sequence uint64) Tail {
	first := sequence - uint64(len(events)) + 1
	for i := range events {
		events[i].Stream, events[i].Sequence = s.stream.Name, first+uint64(i)
		tail = tail.with(events[i])
	}
	return tail
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func formatSequence(n uint64) string { return strconv.FormatUint(n, 10) }
