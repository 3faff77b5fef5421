package projection

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

const (
	maxWrites     = 999     // beside the checkpoint in one atomic batch
	maxBatchBytes = 4 << 20 // of values in one batch

	// What a step holds while the model is far behind. It is stored as an event is that
	// writes too much for one batch: see [keyValueWriter.stage].
	bulkBehind = 10_000 // messages
	bulkWrites = 50_000
	bulkBytes  = 8 << 20

	headerOperation = "KV-Operation"
	operationPurge  = "PURGE"
	operationDelete = "DEL"

	// maxChain is how many values are written one by one at most.
	maxChain = 32

	// headerSingle is on a value that was written alone, before its checkpoint: the
	// stream, how far the model is with it, and the revision of the checkpoint before.
	headerSingle = "Sluice-Checkpoint"

	// beingStored is the revision of what the sealed step writes, as long as that is
	// being stored.
	beingStored = math.MaxUint64
)

// keyValueWriter folds into a bucket.
type keyValueWriter struct {
	*keyValue

	from    source // of the values it folds on
	exact   bool   // it never answers with old ones
	cache   *cache
	written *sieve // the keys that were written; nil when they may be others'
	bulk    uint64 // steps up to this sequence may be large
	step    step
	sealed  *sealed // what is being stored, or nil

	// Only the goroutine that stores uses these while it does.
	at   checkpoint
	last uint64 // the bucket's last sequence as this writer knows it: every write expects it
}

// step is what several events have written.
type step struct {
	writes map[string]write
	order  []string
	base   map[string]uint64 // revisions the fold has read
	bytes  int
	events int

	// As long as every event writes one key at most, and no key twice:
	chain     bool
	sequences []uint64 // of the events, by place in order
}

// sealed is a step that is to be stored. Nobody changes it.
type sealed struct {
	step
	next   checkpoint
	before []prior  // by place in order
	after  []uint64 // the new revisions, by place in order, once the step is stored
}

// prior is the message that a write replaces, as far as the writer knows.
type prior struct {
	known    bool
	live     bool
	sequence uint64
}

// fits reports whether the writes of one more event go into a step of so many writes
// and bytes.
func (s *step) fits(d *draft, most, mostBytes int) bool {
	added, bytes := 0, 0
	for _, key := range d.order {
		if _, ok := s.writes[key]; !ok {
			added++
		}
		bytes += len(d.writes[key].value)
	}
	return s.events == 0 || len(s.order)+added <= most && s.bytes+bytes <= mostBytes
}

func (s *step) add(sequence uint64, d *draft) {
	if s.writes == nil {
		s.writes, s.chain = make(map[string]write), true
	}
	for _, key := range d.order {
		if _, ok := s.writes[key]; ok {
			s.chain = false
		} else {
			s.order = append(s.order, key)
		}
		s.writes[key] = d.writes[key]
		s.bytes += len(d.writes[key].value)
		s.chain = s.chain && len(d.order) == 1 && !d.writes[key].remove && len(s.order) <= maxChain
	}
	if s.chain && len(d.order) == 1 {
		s.sequences = append(s.sequences, sequence)
	}
	s.events++
}

func (w *keyValueWriter) fold(ctx context.Context, e event.Event, data event.Data) (taken bool, err error) {
	d := &draft{lookup: func(key string) (stored, error) { return w.lookup(ctx, key) }}
	err = w.apply(d, e, data)
	switch {
	case d.failed != nil:
		return false, d.failed
	case err != nil:
		return false, &poisonError{err}
	case e.Sequence <= w.bulk:
		if !w.step.fits(d, bulkWrites, bulkBytes) {
			return false, nil
		}
	case !w.step.fits(d, maxWrites, maxBatchBytes):
		return false, nil
	case len(d.order) > maxWrites && !w.exact:
		return false, errNeedsLeader
	}
	w.step.add(e.Sequence, d)
	return true, nil
}

// apply runs the fold, whose panics are errors.
func (w *keyValueWriter) apply(d *draft, e event.Event, data event.Data) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	if err := w.keyValue.fold(d, e, data); err != nil {
		return err
	}
	return d.wrong
}

// lookup returns the value that the fold of the next event finds.
func (w *keyValueWriter) lookup(ctx context.Context, key string) (stored, error) {
	if m, ok := w.step.writes[key]; ok {
		return stored{value: m.value, live: !m.remove}, nil
	}
	m, err := w.before(ctx, key)
	if err != nil {
		return stored{}, err
	}
	if w.step.base == nil {
		w.step.base = make(map[string]uint64)
	}
	w.step.base[key] = m.sequence
	return m, nil
}

// before returns what is stored at key when the open step begins.
func (w *keyValueWriter) before(ctx context.Context, key string) (stored, error) {
	if w.sealed != nil {
		if m, ok := w.sealed.writes[key]; ok {
			return stored{sequence: beingStored, value: m.value, live: !m.remove}, nil
		}
	}
	if m, ok := w.cache.get(key); ok {
		return m, nil
	}
	var m stored
	if w.written == nil || w.written.has(key) {
		var err error
		if m, err = w.bucket.read(ctx, key, w.from); err != nil {
			return stored{}, err
		}
	}
	w.cache.add(key, m)
	return m, nil
}

func (w *keyValueWriter) seal(_ context.Context, next checkpoint) error {
	s := &sealed{step: w.step, next: next, before: make([]prior, len(w.step.order))}
	for i, key := range s.order {
		known, ok := w.cache.peek(key)
		s.before[i] = prior{known: ok, live: known.live, sequence: known.sequence}
		if base, ok := s.base[key]; ok {
			s.before[i].known, s.before[i].sequence = true, base
			s.before[i].live = known.live || base > 0 && known.sequence != base
		}
	}
	w.step, w.sealed = step{}, s
	return nil
}

func (w *keyValueWriter) stored() checkpoint {
	s := w.sealed
	if s == nil {
		return w.at
	}
	w.sealed = nil
	for i, key := range s.order {
		m := s.writes[key]
		if w.written != nil {
			w.written.add(key)
		}
		w.cache.add(key, stored{sequence: s.after[i], value: m.value, live: !m.remove})
		if w.step.base[key] == beingStored {
			w.step.base[key] = s.after[i]
		}
	}
	return w.at
}

// revise notes the revisions of the next keys of the step: they were stored right
// before the checkpoint at sequence.
func (s *sealed) revise(sequence uint64, keys int) {
	for i := range keys {
		s.after = append(s.after, sequence-uint64(keys-i))
	}
}

func (w *keyValueWriter) close() {}

// store writes the sealed step: as one batch with its checkpoint, as a chain of single
// values, or in pieces when one batch can't hold it.
func (w *keyValueWriter) store(ctx context.Context) error {
	s := w.sealed
	switch {
	case len(s.order) > maxWrites:
		return w.split(ctx, s)
	case s.chain && len(s.order) > 0 && !w.at.absent() && !w.cfg.Erases && s.next.Skipped == w.at.Skipped:
		return w.storeChain(ctx, s)
	default:
		sequence, err := w.publish(ctx, s.order, s.writes, s.before, s.next)
		s.revise(sequence, len(s.order))
		return err
	}
}

// storeChain writes the values of a few events one by one, and the checkpoint after
// them, which is much faster than a batch. Each is stored only when nothing has
// happened in the bucket since the one before it, so whatever is there of the chain is
// there from its beginning. Each says how far the model is with it, for those who come
// after a crash and find a checkpoint that has not been moved yet; the count of skipped
// events is in the checkpoint alone, so a step that changes it goes as a batch.
func (w *keyValueWriter) storeChain(ctx context.Context, s *sealed) error {
	if !w.bucket.js.Conn().IsConnected() {
		return errConnection
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	acks := make([]jetstream.PubAckFuture, len(s.order))
	for i, key := range s.order {
		m := w.message(key, s.writes[key], s.before[i])
		m.Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(w.last+uint64(i), 10)}
		m.Header[headerSingle] = []string{fmt.Sprintf("%s %d %d", w.history, s.sequences[i], w.at.revision)}
		var err error
		if acks[i], err = w.bucket.js.PublishMsgAsync(m); err != nil {
			return w.refused(err)
		}
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return w.refused(err)
		case <-ctx.Done():
			return w.refused(context.Cause(ctx))
		}
	}
	w.last += uint64(len(s.order))
	s.revise(w.last+1, len(s.order))
	w.reached(s.next.Sequence) // whoever comes next finds the values
	_, err := w.publish(ctx, nil, nil, nil, s.next)
	return err
}

// singleAfter reports whether a message of the bucket was written alone after the
// checkpoint of that revision, and how far the model is with it.
func singleAfter(h nats.Header, stream string, revision uint64) (sequence uint64, ok bool) {
	fields := strings.Fields(h.Get(headerSingle))
	if len(fields) != 3 || fields[0] != stream || fields[2] != strconv.FormatUint(revision, 10) {
		return 0, false
	}
	sequence, err := strconv.ParseUint(fields[1], 10, 64)
	return sequence, err == nil
}

// publish writes keys and the checkpoint, all or nothing, and returns the revision of
// the checkpoint, the last of them. Keys with a known revision must still have it.
func (w *keyValueWriter) publish(ctx context.Context, keys []string, writes map[string]write, before []prior, next checkpoint) (uint64, error) {
	if !w.bucket.js.Conn().IsConnected() {
		return 0, errConnection
	}
	var err error
	if next.Replaced, err = w.replaced(ctx, keys, before); err != nil {
		return 0, err
	}
	body, err := json.Marshal(next, json.Deterministic(true))
	if err != nil {
		return 0, fmt.Errorf("encode checkpoint: %w", err)
	}
	messages := make([]*nats.Msg, 0, len(keys)+1)
	for i, key := range keys {
		messages = append(messages, w.message(key, writes[key], before[i]))
	}
	messages = append(messages, &nats.Msg{
		Subject: w.bucket.prefix + checkpointKey(w.history),
		Header:  expect(make(nats.Header, 5), w.at.revision),
		Data:    body,
	})
	// Values that another writer has stored without their checkpoint yet are not in what
	// this one has read: nothing at all may have been written meanwhile.
	messages[0].Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(w.last, 10)}
	sequence, err := w.send(ctx, messages)
	if err != nil {
		return 0, err
	}
	next.revision, w.last = sequence, sequence
	w.at = next
	w.moved()
	return sequence, w.erase(ctx, w.at)
}

func (w *keyValueWriter) message(key string, change write, before prior) *nats.Msg {
	m := &nats.Msg{Subject: w.bucket.prefix + key, Header: make(nats.Header, 6), Data: change.value}
	if change.remove {
		m.Header[headerOperation] = []string{operationPurge}
		m.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
		if w.cfg.Erases { // the rollup would remove the value and leave it on disk
			m.Header = nats.Header{headerOperation: {operationDelete}}
		}
	}
	if before.known {
		expect(m.Header, before.sequence)
	}
	return m
}

func expect(h nats.Header, revision uint64) nats.Header {
	h[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(revision, 10)}
	return h
}

// send publishes messages as one atomic batch, or a single one by itself, which is
// twenty times cheaper. It returns the sequence of the last.
func (w *keyValueWriter) send(ctx context.Context, messages []*nats.Msg) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if len(messages) > 1 {
		sequence, err = eventstore.PublishBatch(ctx, w.bucket.js.Conn(), messages)
	} else {
		var ack *jetstream.PubAck
		if ack, err = w.bucket.js.PublishMsg(ctx, messages[0]); err == nil {
			sequence = ack.Sequence
		}
	}
	if err != nil {
		return 0, w.refused(err)
	}
	return sequence, nil
}

// refused says what an error of a publish means.
func (w *keyValueWriter) refused(err error) error {
	if api, ok := errors.AsType[jetstream.JetStreamError](err); ok {
		switch api.APIError().ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return &refusedError{at: w.at, err: err}
		}
	}
	return fmt.Errorf("write bucket %s: %w", w.bucket.name, err)
}
