package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ingestSilence is how long no acknowledgement may come before those that are missing
// count as lost.
const ingestSilence = 2 * time.Second

var errInterrupted = errors.New("the stream ended the batch early")

// acknowledgement is what a stream answers to a message, or to a fast batch (ADR-50).
type acknowledgement struct {
	Error *jetstream.APIError `json:"error"`
	Type  string              `json:"type"`  // of word about a fast batch while it lasts
	Count int                 `json:"count"` // messages of a fast batch that are stored

	Sequence uint64 `json:"seq"`
}

// ingestFast publishes messages as one fast batch: the stream takes them in order, ends
// the batch at the first that it refuses, and acknowledges the whole once. It returns
// how many are stored, and why the next one is not. Unlike an atomic batch, what was
// stored stays.
func (s *Store) ingestFast(ctx context.Context, messages iter.Seq[*nats.Msg]) (stored int, err error) {
	const (
		start, add, commit = ".0.$FI", ".1.$FI", ".2.$FI"
		settings           = ".500.fail." // word every so many messages; end at a gap
	)
	inbox, replies, err := s.openInbox()
	if err != nil {
		return 0, err
	}
	defer func() { _ = replies.Unsubscribe() }() // fails only on a closed connection
	var (
		waiting *nats.Msg // until it is known whether it is the last
		count   int
	)
	publish := func(operation string) error {
		waiting.Reply = inbox + settings + strconv.Itoa(count) + operation
		return s.js.Conn().PublishMsg(waiting)
	}
	for m := range messages {
		switch {
		case count == 1:
			err = publish(start)
		case count > 1:
			err = publish(add)
		}
		if err != nil {
			return 0, fmt.Errorf("ingest: %w", err)
		}
		waiting, count = m, count+1
	}
	if count == 0 {
		return 0, nil
	}
	if err := publish(commit); err != nil {
		return 0, fmt.Errorf("ingest: %w", err)
	}
	reason := errInterrupted
	for {
		_, ack, err := s.acknowledgement(ctx, replies)
		switch {
		case err != nil:
			return 0, err
		case ack.Type == "err":
			reason = ack.Error
		case ack.Type != "":
		case ack.Error != nil && ack.Error.ErrorCode == codeBatchUnknown: // its beginning is lost
			return 0, fmt.Errorf("ingest: %w", reason)
		case ack.Error != nil:
			return 0, fmt.Errorf("ingest: %w", ack.Error)
		case ack.Count == count:
			return ack.Count, nil
		default:
			return ack.Count, fmt.Errorf("ingest: %w", reason)
		}
	}
}

// ingestSideBySide publishes messages that do not depend on each other and returns what
// the stream answered to each. The error says that it is not known for some.
func (s *Store) ingestSideBySide(ctx context.Context, messages []*nats.Msg) ([]acknowledgement, error) {
	inbox, replies, err := s.openInbox()
	if err != nil {
		return nil, err
	}
	defer func() { _ = replies.Unsubscribe() }() // fails only on a closed connection
	for i, m := range messages {
		m.Reply = inbox + "." + strconv.Itoa(i)
		if err := s.js.Conn().PublishMsg(m); err != nil {
			return nil, fmt.Errorf("ingest: %w", err)
		}
	}
	acks := make([]acknowledgement, len(messages))
	for range messages {
		subject, ack, err := s.acknowledgement(ctx, replies)
		if err != nil {
			return nil, err
		}
		i, err := strconv.Atoi(strings.TrimPrefix(subject, inbox+"."))
		if err != nil || i < 0 || i >= len(acks) {
			return nil, fmt.Errorf("ingest: an acknowledgement of message %q", subject)
		}
		acks[i] = ack
	}
	return acks, nil
}

// openInbox subscribes below an inbox of its own. Its last token names a fast batch.
func (s *Store) openInbox() (string, *nats.Subscription, error) {
	nc := s.js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox + ".>")
	if err != nil {
		return "", nil, fmt.Errorf("ingest: subscribe for acknowledgements: %w", err)
	}
	return inbox, sub, nil
}

// acknowledgement returns the next one, and the subject it came on.
func (s *Store) acknowledgement(ctx context.Context, replies *nats.Subscription) (string, acknowledgement, error) {
	ctx, cancel := context.WithTimeout(ctx, ingestSilence)
	defer cancel()
	reply, err := replies.NextMsgWithContext(ctx)
	if err != nil {
		return "", acknowledgement{}, fmt.Errorf("ingest: wait for an acknowledgement: %w", err)
	}
	var ack acknowledgement
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return "", acknowledgement{}, fmt.Errorf("ingest: read an acknowledgement: %w", err)
	}
	return reply.Subject, ack, nil
}
