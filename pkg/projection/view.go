package projection

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// View is a read model with values of type V. It is safe for concurrent use. Reads
// work without a [Runner] in this process.
type View[V any] struct {
	name     string
	home     home
	fold     func(tx *Tx[V], e event.Event, data event.Data) error
	progress *progress
	followed string // the stream's name
	serving  *serving
}

// KV declares the model that fold makes of events, in the bucket of that name. The
// bucket must exist when the model is followed or read; see [BucketConfig].
func KV[V any](js jetstream.JetStream, bucket string, fold func(tx *Tx[V], e event.Event, data event.Data) error, options ...Option) *View[V] {
	h := home{bucket: newBucket(js, bucket), name: bucket, version: 1}
	for _, set := range options {
		set(&h)
	}
	return &View[V]{name: bucket, home: h, fold: fold, progress: newProgress(), serving: newServing(h)}
}

// Follow returns the runner that folds the events of store into the model. A view
// follows one store: a second call panics.
func (v *View[V]) Follow(store *eventstore.Store, cfg Config) *Runner {
	if v.followed != "" {
		panic(fmt.Sprintf("projection: bucket %s follows %s already", v.name, v.followed))
	}
	v.followed = store.Stream().Name
	v.serving.follow()
	cfg = cfg.withDefaults()
	m := &keyValue{
		name: v.name, home: v.home, bucket: v.home.at(0), history: v.followed, store: store, cfg: cfg,
		fold: func(d *draft, e event.Event, data event.Data) error { return v.fold(&Tx[V]{d}, e, data) },
	}
	r := newRunner(v.name, m, store, v.progress, cfg)
	m.moved, m.reached = func() { r.steps.Add(1) }, r.advance
	r.complete = v.home.version > 1
	r.rebuilder = &rebuilder{runner: r, home: v.home, model: *m, serving: v.serving}
	return r
}

// Get returns the value of key, or an error that is [ErrNotFound]. On a replicated
// bucket it may be a little older than what [View.Wait] has seen, unless the caller of
// the current request asks for a position: see [View.Await]. In the process that
// follows it, a model whose checkpoint does not fit the stream answers with
// [ErrCheckpoint], which callers of an endpoint see as unavailable.
func (v *View[V]) Get(ctx context.Context, key string) (V, error) {
	b, err := v.readable(ctx)
	if err != nil {
		var none V
		return none, err
	}
	return v.get(ctx, b, key)
}

// readable returns the bucket to read from.
func (v *View[V]) readable(ctx context.Context) (bucket, error) {
	if err := v.progress.fit(); err != nil {
		return bucket{}, err
	}
	return v.serving.bucket(ctx)
}

func (v *View[V]) get(ctx context.Context, b bucket, key string) (V, error) {
	var value V
	if !isKey(key) {
		return value, fmt.Errorf("bucket %s: %w", v.name, ErrNotFound)
	}
	m, err := v.read(ctx, b, key)
	if err != nil {
		return value, err
	}
	if !m.live {
		return value, fmt.Errorf("bucket %s: key %s: %w", v.name, key, ErrNotFound)
	}
	if err := json.Unmarshal(m.value, &value); err != nil {
		return value, fmt.Errorf("bucket %s: key %s: %w", v.name, key, err)
	}
	return value, nil
}

// read asks any replica of the bucket, and the leader when that may not have what the
// caller has seen, or what an index has.
func (v *View[V]) read(ctx context.Context, b bucket, key string) (stored, error) {
	if v.awaited(ctx) {
		return b.read(ctx, key, leader)
	}
	m, err := b.read(ctx, key, replica)
	if err == nil && !m.live {
		m, err = b.read(ctx, key, leader)
	}
	return m, err
}

// Wait returns when the model has folded everything up to sequence. It fails with a
// [*BehindError] when the context ends first, with a [*ParkedError] when the model
// stands still before sequence, and with [ErrNotFollowed] when this process does not
// follow the stream.
func (v *View[V]) Wait(ctx context.Context, sequence uint64) error {
	return v.progress.wait(ctx, v.followed, sequence)
}
