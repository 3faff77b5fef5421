package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	batchMessages = 1000
	batchBytes    = 8 << 20
)

// batchRequest is the body of the server's direct get API (ADR-31) for many messages.
type batchRequest struct {
	Sequence uint64 `json:"seq"`
	Next     string `json:"next_by_subj"`
	Batch    int    `json:"batch"`
	MaxBytes int    `json:"max_bytes"`
}

// batch yields messages from sequence on, in their order and without a gap, and returns
// how many. It may end anywhere, since any replica may answer, also one that lags
// behind: what comes after is for [streamReader.next] to find.
func (r streamReader) batch(ctx context.Context, sequence uint64, yield func(storedMessage)) (n int, err error) {
	body, err := json.Marshal(batchRequest{Sequence: max(sequence, 1), Next: ">", Batch: batchMessages, MaxBytes: batchBytes})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", r.stream, err)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	nc := r.js.Conn()
	inbox := nc.NewInbox()
	replies, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", r.stream, err)
	}
	defer func() {
		if unsubscribed := replies.Unsubscribe(); unsubscribed != nil && err == nil {
			err = fmt.Errorf("read %s: %w", r.stream, unsubscribed)
		}
	}()
	if err := nc.PublishRequest(apiPrefix(r.js)+"DIRECT.GET."+r.stream, inbox, body); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.stream, err)
	}
	for n < batchMessages {
		reply, err := replies.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return n, nil // the stream has no direct gets
		}
		if err != nil {
			return n, fmt.Errorf("read %s: %w", r.stream, err)
		}
		m, ok := batched(reply)
		if !ok {
			return n, nil
		}
		yield(m)
		n++
	}
	return n, nil
}

// batched reads one message of a batch. What has no sequence is the server's word that
// this was all, or a message whose broken headers took the sequence with them.
func batched(reply *nats.Msg) (storedMessage, bool) {
	sequence, err := strconv.ParseUint(lastOf(reply.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return storedMessage{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, lastOf(reply.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return storedMessage{}, false
	}
	return storedMessage{
		Subject: lastOf(reply.Header, jetstream.SubjectHeader), Sequence: sequence, Header: reply.Header, Data: reply.Data, Time: at,
	}, true
}

// lastOf returns what the server wrote: it appends its headers to those that the
// message was published with, which may have the same names.
func lastOf(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
