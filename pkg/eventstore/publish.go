package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publishOne publishes m and returns the sequence that the stream acknowledges. An
// error that is neither a [*jetstream.APIError] nor [nats.ErrNoResponders] leaves open
// whether m was stored.
func publishOne(ctx context.Context, nc *nats.Conn, m *nats.Msg) (uint64, error) {
	reply, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	if sequence, ok := plainAck(reply.Data); ok {
		return sequence, nil
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, fmt.Errorf("read the acknowledgement: %w", err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	if ack.Sequence == 0 {
		return 0, errors.New("the acknowledgement names no sequence")
	}
	return ack.Sequence, nil
}

// plainAck reads {"stream":"ORDERS","seq":17}, which is what nearly every
// acknowledgement looks like.
func plainAck(data []byte) (sequence uint64, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return 0, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`","seq":`))
	if !ok || len(rest) < 2 || rest[len(rest)-1] != '}' {
		return 0, false
	}
	sequence, err := strconv.ParseUint(string(rest[:len(rest)-1]), 10, 64)
	return sequence, err == nil && sequence > 0
}
