package projection

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
)

const (
	maxWrites     = 999       // beside the checkpoint in one atomic batch
	maxBatchBytes = 4 << 20   // of values in one batch
	maxPartBytes  = 256 << 10 // of writes in one message of a split event, unless one is larger

	headerOperation = "KV-Operation"
	operationPurge  = "PURGE"
	operationDelete = "DEL"
)

// batch is what several events have written.
type batch struct {
	writes map[string]write
	order  []string
	base   map[string]uint64 // revisions the fold has read
	bytes  int
	events int
	last   uint64 // sequence of the last event
}

// fits reports whether the writes of one more event go into the batch.
func (b *batch) fits(d *draft) bool {
	added, bytes := 0, 0
	for _, key := range d.order {
		if _, ok := b.writes[key]; !ok {
			added++
		}
		bytes += len(d.writes[key].value)
	}
	return len(b.order)+added <= maxWrites && (b.events == 0 || b.bytes+bytes <= maxBatchBytes)
}

func (b *batch) add(sequence uint64, d *draft) {
	if b.writes == nil {
		b.writes = make(map[string]write)
	}
	for _, key := range d.order {
		if _, ok := b.writes[key]; !ok {
			b.order = append(b.order, key)
		}
		b.writes[key] = d.writes[key]
		b.bytes += len(d.writes[key].value)
	}
	b.events++
	b.last = sequence
}

// commit writes the batch and moves the checkpoint to its last event.
func (s *session) commit(ctx context.Context) error {
	if s.batch.events == 0 {
		return nil
	}
	next := s.at
	next.Sequence = s.batch.last
	if err := s.publish(ctx, s.batch.order, s.batch.writes, next); err != nil {
		return err
	}
	s.batch = batch{}
	return nil
}

// publish writes keys and the checkpoint, all or nothing, and remembers their new
// revisions. Keys with a known revision must still have it.
func (s *session) publish(ctx context.Context, keys []string, writes map[string]write, next checkpoint) error {
	if !s.bucket.js.Conn().IsConnected() {
		return errConnection
	}
	next.Stream, next.Created = s.history.name, s.created
	var err error
	if next.Replaced, err = s.replaced(ctx, keys); err != nil {
		return err
	}
	body, err := json.Marshal(next, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	messages := make([]*nats.Msg, 0, len(keys)+1)
	for _, key := range keys {
		messages = append(messages, s.message(key, writes[key]))
	}
	messages = append(messages, &nats.Msg{
		Subject: s.bucket.prefix + checkpointKey(s.history.name),
		Header:  expect(make(nats.Header, 5), s.at.revision),
		Data:    body,
	})
	sequence, err := s.send(ctx, messages)
	if err != nil {
		return err
	}
	first := sequence - uint64(len(keys))
	for i, key := range keys {
		w := writes[key]
		s.cache.Add(key, stored{sequence: first + uint64(i), value: w.value, live: !w.remove})
	}
	next.revision = sequence
	s.at = next
	if err := s.eraseReplaced(ctx); err != nil {
		return err
	}
	s.committed()
	return nil
}

func (s *session) message(key string, w write) *nats.Msg {
	m := &nats.Msg{Subject: s.bucket.prefix + key, Header: make(nats.Header, 6), Data: w.value}
	if w.remove {
		m.Header[headerOperation] = []string{operationPurge}
		m.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
		if s.cfg.Erases { // the rollup would remove the value and leave it on disk
			m.Header = nats.Header{headerOperation: {operationDelete}}
		}
	}
	if base, ok := s.batch.base[key]; ok {
		expect(m.Header, base)
	} else if known, ok := s.cache.Peek(key); ok {
		expect(m.Header, known.sequence)
	}
	return m
}

func expect(h nats.Header, revision uint64) nats.Header {
	h[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(revision, 10)}
	return h
}

// send publishes messages as one atomic batch, or a single one by itself, which is
// twenty times cheaper. It returns the sequence of the last.
func (s *session) send(ctx context.Context, messages []*nats.Msg) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if len(messages) > 1 {
		sequence, err = eventstore.PublishBatch(ctx, s.bucket.js.Conn(), messages)
	} else {
		var ack *jetstream.PubAck
		if ack, err = s.bucket.js.PublishMsg(ctx, messages[0]); err == nil {
			sequence = ack.Sequence
		}
	}
	if refused, ok := errors.AsType[jetstream.JetStreamError](err); ok {
		switch refused.APIError().ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return 0, &refusedError{revision: s.at.revision, err: err}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("write bucket %s: %w", s.bucket.name, err)
	}
	return sequence, nil
}

// stagedWrite is a write of a split event as it is written down.
type stagedWrite struct {
	Key    string `json:"key"`
	Value  []byte `json:"value,omitempty"`
	Remove bool   `json:"remove,omitempty"`
}

// stage writes down all writes of an event that one batch can't hold.
func (s *session) stage(ctx context.Context, sequence uint64, d *draft) error {
	var (
		part   []stagedWrite
		bytes  int
		keys   []string
		writes = make(map[string]write)
	)
	flush := func() error {
		data, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("stage event %d: %w", sequence, err)
		}
		key := stagedKey(s.history.name, len(keys))
		keys, writes[key] = append(keys, key), write{value: data}
		part, bytes = part[:0], 0
		return nil
	}
	for _, key := range d.order {
		w := d.writes[key]
		size := len(key) + len(w.value)
		if bytes > 0 && bytes+size > maxPartBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		part, bytes = append(part, stagedWrite{Key: key, Value: w.value, Remove: w.remove}), bytes+size
	}
	if err := flush(); err != nil {
		return err
	}
	next := s.at
	next.Split = &split{Sequence: sequence, Parts: len(keys)}
	return s.publish(ctx, keys, writes, next)
}

// finish applies what is left of a split event.
func (s *session) finish(ctx context.Context) error {
	if s.at.Split == nil {
		return nil
	}
	var all []stagedWrite
	parts := make([]string, s.at.Split.Parts)
	for i := range parts {
		parts[i] = stagedKey(s.history.name, i)
		m, err := s.bucket.get(ctx, parts[i], leader)
		if err != nil {
			return err
		}
		var part []stagedWrite
		if err := json.Unmarshal(m.value, &part); err != nil {
			return fmt.Errorf("%w: part %d of split event %d: %w", ErrCheckpoint, i, s.at.Split.Sequence, err)
		}
		all = append(all, part...)
	}
	for s.at.Split.Offset < len(all) {
		rest := all[s.at.Split.Offset:]
		var (
			keys   []string
			writes = make(map[string]write)
			bytes  int
		)
		for _, w := range rest[:min(len(rest), maxWrites)] {
			keys, writes[w.Key] = append(keys, w.Key), write{value: w.Value, remove: w.Remove}
			if bytes += len(w.Value); bytes > maxBatchBytes {
				break
			}
		}
		next, progress := s.at, *s.at.Split
		progress.Offset += len(keys)
		next.Split = &progress
		if err := s.publish(ctx, keys, writes, next); err != nil {
			return err
		}
	}
	next, writes := s.at, make(map[string]write)
	next.Sequence, next.Split = s.at.Split.Sequence, nil
	for _, key := range parts {
		writes[key] = write{remove: true}
	}
	return s.publish(ctx, parts, writes, next)
}
