package projection

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// keyValue is a model in a key-value bucket.
type keyValue struct {
	name    string
	home    home
	bucket  bucket // of the generation that this is
	number  int    // of the generation
	history string // the stream that the model follows
	store   *eventstore.Store
	cfg     Config
	fold    func(d *draft, e event.Event, data event.Data) error
	moved   func()                // called when a batch is stored
	reached func(sequence uint64) // called when everything up to sequence is, before its checkpoint
}

func (m *keyValue) check(ctx context.Context) error {
	if m.bucket.name != m.home.bucket.name {
		if err := m.home.create(ctx, m.number); err != nil {
			return err
		}
	}
	s, err := m.bucket.js.Stream(ctx, m.bucket.name)
	if err != nil {
		return fmt.Errorf("look at bucket %s: %w", m.name, err)
	}
	return checkBucket(m.name, s.CachedInfo().Config, m.cfg.Erases)
}

// checkpoint reads the record, and the values that may have been written one by one
// after it: see [keyValueWriter.storeChain].
func (m *keyValue) checkpoint(ctx context.Context) (checkpoint, error) {
	record, err := m.bucket.read(ctx, checkpointKey(m.history), leader)
	if err != nil {
		return checkpoint{}, err
	}
	at, err := decodeCheckpoint(record)
	if err != nil || at.absent() || m.cfg.Erases {
		return at, err
	}
	for next := record.sequence + 1; ; {
		after, header, err := m.bucket.get(ctx, getRequest{Next: ">", Sequence: next})
		if err != nil {
			return checkpoint{}, fmt.Errorf("read what follows the checkpoint in bucket %s: %w", m.name, err)
		}
		if after.sequence == 0 {
			return at, nil
		}
		if sequence, ok := singleAfter(header, m.history, at.revision); ok {
			at.Sequence = max(at.Sequence, sequence)
		}
		next = after.sequence + 1
	}
}

// orphaned reports whether the bucket has values that no checkpoint accounts for.
func (m *keyValue) orphaned(ctx context.Context) (bool, error) {
	// A list waits for keys that went away since it was begun.
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	kv, err := m.bucket.js.KeyValue(ctx, strings.TrimPrefix(m.bucket.name, streamName("")))
	if err != nil {
		return false, fmt.Errorf("open bucket %s: %w", m.name, err)
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return false, fmt.Errorf("list the keys of bucket %s: %w", m.name, err)
	}
	values, checkpoints := 0, 0
	for key := range keys.Keys() {
		if strings.HasPrefix(key, generationToken+".") {
			continue
		}
		values++
		if strings.HasPrefix(key, checkpointKey("")) {
			checkpoints++
		}
	}
	return values > 0 && checkpoints == 0, ctx.Err()
}

func (m *keyValue) watch(ctx context.Context, moved func(uint64), lost func(error)) (stop func(), err error) {
	return openFeed(ctx, m.bucket.stream, jetstream.ConsumerConfig{
		FilterSubject: m.bucket.prefix + checkpointKey(m.history),
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}, func(d delivery) {
		if now, err := decodeCheckpoint(stored{value: d.Data, live: !isMarker(d.Header)}); err == nil {
			moved(now.Sequence)
		}
	}, lost)
}

func (m *keyValue) connections() []*nats.Conn { return []*nats.Conn{m.bucket.js.Conn()} }

func (m *keyValue) open(ctx context.Context, at checkpoint, from source) (writer, error) {
	w := &keyValueWriter{keyValue: m, at: at, from: from, cache: newCache(m.cfg.CacheSize, m.cfg.CacheBytes)}
	s, err := m.bucket.js.Stream(ctx, m.bucket.name)
	if err != nil {
		return nil, fmt.Errorf("look at bucket %s: %w", m.name, err)
	}
	info := s.CachedInfo()
	w.last = info.State.LastSeq
	// What was written before that is known, but after the checkpoint was read.
	if now, err := m.checkpoint(ctx); err != nil || now.revision != at.revision || now.Sequence != at.Sequence {
		return nil, cmp.Or(err, error(&refusedError{at: at, err: errOvertaken}))
	}
	if at.absent() && info.State.Msgs == 0 {
		w.written = newSieve()
	}
	if at.absent() && info.Config.Replicas > 1 {
		w.from = leader // there is little to read
	}
	w.exact = w.from == leader || info.Config.Replicas <= 1
	if w.exact && !m.cfg.Erases {
		if w.bulk, err = m.farBehind(ctx, at); err != nil {
			return nil, err
		}
	}
	if err := w.erase(ctx, w.at); err != nil {
		return nil, err
	}
	return w, w.finish(ctx)
}

// farBehind returns up to where a model at that checkpoint is far behind its history;
// 0 when it is not.
func (m *keyValue) farBehind(ctx context.Context, at checkpoint) (uint64, error) {
	s, err := m.store.JetStream().Stream(ctx, m.store.Stream().Name)
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", m.store.Stream().Name, err)
	}
	if last := s.CachedInfo().State.LastSeq; last > at.Sequence+bulkBehind {
		return last, nil
	}
	return 0, nil
}
