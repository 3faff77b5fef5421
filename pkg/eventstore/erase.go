package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// ErrNotErased says that an aggregate's history has no event that erases it.
var ErrNotErased = errors.New("nothing in the history erases the aggregate")

// errErased is for a message that lies before the event which erases its aggregate.
var errErased = errors.New("the aggregate was erased after this message")

// IsErased reports whether err, from [Reader.Check], says that the message is waiting
// for erasure: it lies before the event that erases its aggregate. It may have been
// genuine and must go without a trace.
func IsErased(err error) bool { return errors.Is(err, errErased) }

// Erased returns the wire name of the event that erases an aggregate of the stream.
// What is left of a history after [Store.Erase] begins with it.
func (s Stream) Erased() string { return s.Entity + ".erased" }

// Erase overwrites and deletes every message of aggregate id that lies before its
// last <entity>.erased event, and the claims that were taken with them. Append that
// event first, as the only one of its decision and with the release of the claims;
// [ErrNotErased] says that it is not there, and a [*ForeignError] that it was stored
// without expecting what it continues, as Append does. Erase may be repeated, and must be until it succeeds: it goes from the
// oldest event to the newest, so that whatever a crash leaves behind is never taken
// for a history that goes on.
//
// Copies elsewhere (read models, dead letters, files) are for their owners to erase,
// and so are mirrors and backups.
func (s *Store) Erase(ctx context.Context, id string) error {
	if err := event.CheckID(id); err != nil {
		return err
	}
	messages, err := s.messagesOf(ctx, id)
	if err != nil {
		return fmt.Errorf("erase %s %s: %w", s.stream.Entity, id, err)
	}
	chain, _ := s.chain(messages)
	last := slices.IndexFunc(chain, s.isErasure)
	if last < 0 {
		return fmt.Errorf("erase %s %s: %w", s.stream.Entity, id, ErrNotErased)
	}
	erased := chain[last]
	if !erased.begins {
		return fmt.Errorf("erase %s %s: %w", s.stream.Entity, id, &ForeignError{Reason: "the event that erases it was stored without expecting the events before it"})
	}
	genuine := make(map[uint64]bool, len(chain))
	for _, e := range chain {
		genuine[e.Sequence] = true
	}
	// Foreign messages first: one of them could look like the beginning of what is left.
	slices.SortStableFunc(messages, func(a, b message) int {
		switch {
		case genuine[a.sequence] == genuine[b.sequence]:
			return cmp.Compare(a.sequence, b.sequence)
		case genuine[b.sequence]:
			return -1
		default:
			return 1
		}
	})
	for _, m := range messages {
		if m.sequence >= erased.Sequence {
			continue
		}
		err := s.eraseClaims(ctx, id, m.sequence)
		if err == nil {
			err = Overwrite(ctx, s.js, s.stream.Name, m.sequence)
		}
		if err != nil {
			return fmt.Errorf("erase %s %s: %w", s.stream.Entity, id, err)
		}
	}
	return nil
}

func (s *Store) isErasure(e Recorded) bool { return e.Type == s.stream.Erased() }

// eraseClaims overwrites the claims that id took in the decision whose event is at
// sequence: they follow it. The last goes first, so that a repeat finds the rest.
func (s *Store) eraseClaims(ctx context.Context, id string, sequence uint64) error {
	var taken []uint64
	for next := sequence + 1; ; next++ {
		m, err := s.getFromLeader(ctx, getRequest{Sequence: next})
		if errors.Is(err, errNoMessage) {
			break
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(m.subject, s.stream.Entity+".claim.") || strings.Count(m.subject, ".") != 3 {
			break
		}
		var record claimRecord
		if err := json.Unmarshal(m.data, &record); err == nil && record.Aggregate == id {
			taken = append(taken, next)
		}
	}
	for _, at := range slices.Backward(taken) {
		if err := Overwrite(ctx, s.js, s.stream.Name, at); err != nil {
			return err
		}
	}
	return nil
}

// Overwrite deletes one message of a stream, and its bytes on disk with it. A message
// that is gone already, as the stream's leader knows, is fine.
func Overwrite(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("overwrite message %d of stream %s: %w", sequence, stream, err)
	}
	err = s.SecureDeleteMsg(ctx, sequence)
	if err == nil {
		return nil
	}
	// A replica may not have got the message yet, and would say the same.
	reader := Store{js: js, api: apiPrefix(js), stream: Stream{Name: stream}}
	if _, lookErr := reader.getFromLeader(ctx, getRequest{Sequence: sequence}); errors.Is(lookErr, errNoMessage) {
		return nil
	}
	return fmt.Errorf("overwrite message %d of stream %s: %w", sequence, stream, err)
}

// Anchor sees to it that the stream begins with a message which is never erased: a
// claim that nobody holds. A stream whose first message goes away looks to its
// readers like one that has lost what they had yet to read. Call it before the
// stream is used; on a stream that has begun it does nothing.
func (s *Store) Anchor(ctx context.Context) error {
	body, err := json.Marshal(claimRecord{Released: true})
	if err != nil {
		return fmt.Errorf("anchor stream %s: %w", s.stream.Name, err)
	}
	_, err = s.js.PublishMsg(ctx, &nats.Msg{
		Subject: s.claimSubject(Claim{Name: "stream", Hash: "anchor"}), Data: body,
		Header: nats.Header{"content-type": {event.ContentType}, jetstream.ExpectedLastSeqHeader: {"0"}},
	})
	if err != nil && classify(err) != refused {
		return fmt.Errorf("anchor stream %s: %w", s.stream.Name, err)
	}
	return nil
}
