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
	bucket   bucket
	fold     func(tx *Tx[V], e event.Event, data event.Data) error
	progress *progress
	followed string // the stream's name
}

// KV declares the model that fold makes of events, in the bucket of that name. The
// bucket must exist when the model is followed or read; see [BucketConfig].
func KV[V any](js jetstream.JetStream, bucket string, fold func(tx *Tx[V], e event.Event, data event.Data) error) *View[V] {
	return &View[V]{name: bucket, bucket: newBucket(js, bucket), fold: fold, progress: newProgress()}
}

// Follow returns the runner that folds the events of store into the model. A view
// follows one store: a second call panics.
func (v *View[V]) Follow(store *eventstore.Store, cfg Config) *Runner {
	if v.followed != "" {
		panic(fmt.Sprintf("projection: bucket %s follows %s already", v.name, v.followed))
	}
	v.followed = store.Stream().Name
	return newRunner(v.name, v.bucket, store, v.progress, cfg, func(d *draft, e event.Event, data event.Data) error {
		return v.fold(&Tx[V]{d}, e, data)
	})
}

// Get returns the value of key, or an error that is [ErrNotFound]. On a replicated
// bucket it may be a little older than what [View.Wait] has seen.
func (v *View[V]) Get(ctx context.Context, key string) (V, error) {
	var value V
	if !isKey(key) {
		return value, fmt.Errorf("bucket %s: %w", v.name, ErrNotFound)
	}
	m, err := v.bucket.get(ctx, key, replica)
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

// Wait returns when the model has folded everything up to sequence. It fails with a
// [*BehindError] when the context ends first, with a [*ParkedError] when the model
// stands still before sequence, and with [ErrNotFollowed] when this process does not
// follow the stream.
func (v *View[V]) Wait(ctx context.Context, sequence uint64) error {
	return v.progress.wait(ctx, v.followed, sequence)
}
