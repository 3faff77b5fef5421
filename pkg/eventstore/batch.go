package eventstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// maxBatch is how many messages the server takes in one atomic batch.
const maxBatch = 1000

// Headers of atomic batch publishing (ADR-50).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// PublishBatch publishes messages as one atomic batch: all of them are stored, next
// to each other, or none. It returns the stream sequence of the last. The messages
// need headers, all subjects must belong to one stream that allows atomic batches,
// and there may be 1,000 at most. An error that is not a [*jetstream.APIError]
// leaves open whether the batch was stored. The batch headers are written into the
// messages, so that they can be published again under a new batch id.
func PublishBatch(ctx context.Context, nc *nats.Conn, messages []*nats.Msg) (uint64, error) {
	if len(messages) == 0 || len(messages) > maxBatch {
		return 0, fmt.Errorf("%w: a batch of %d messages", ErrTooLarge, len(messages))
	}
	id := nuid.Next()
	for i, m := range messages {
		unbatch(m)
		m.Header[headerBatchID] = []string{id}
		m.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
	}
	last := messages[len(messages)-1]
	last.Header[headerBatchCommit] = []string{"1"}
	for _, m := range messages[:len(messages)-1] {
		if err := nc.PublishMsg(m); err != nil {
			return 0, fmt.Errorf("publish batch: %w", err)
		}
	}
	sequence, err := publishOne(ctx, nc, last)
	if err != nil {
		return 0, fmt.Errorf("publish batch: %w", err)
	}
	return sequence, nil
}

// unbatch removes what PublishBatch wrote into m.
func unbatch(m *nats.Msg) {
	delete(m.Header, headerBatchID)
	delete(m.Header, headerBatchSequence)
	delete(m.Header, headerBatchCommit)
}
