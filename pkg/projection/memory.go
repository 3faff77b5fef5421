package projection

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// Memory is a read model with values of type V in the memory of this process, for
// reads in nanoseconds. It is safe for concurrent use. Every process folds it for
// itself, from the beginning of the stream at each start, some ten thousand events a
// second. It holds each value and its JSON, about a hundred bytes beside them, and the
// index keys: nothing bounds it but the number of keys.
type Memory[V any] struct {
	name     string
	fold     func(tx *Tx[V], e event.Event, data event.Data) error
	progress *progress
	followed string

	mu      sync.RWMutex
	values  map[string]kept[V]
	indexes sorted
	targets map[string]string // index key to key
	at      checkpoint
}

type kept[V any] struct {
	value V
	json  []byte
}

// InMemory declares the model that fold makes of events, in memory. The fold is the
// same as that of [KV].
func InMemory[V any](name string, fold func(tx *Tx[V], e event.Event, data event.Data) error) *Memory[V] {
	return &Memory[V]{name: name, fold: fold, progress: newProgress(), values: make(map[string]kept[V]), targets: make(map[string]string)}
}

// Follow returns the runner that folds the events of store into the model. Its Start
// returns when the model is up to date, or parked. [Config.ReadOnly] has no meaning
// here. A model follows one store: a second call panics.
func (m *Memory[V]) Follow(store *eventstore.Store, cfg Config) *Runner {
	if m.followed != "" {
		panic(fmt.Sprintf("projection: model %s follows %s already", m.name, m.followed))
	}
	m.followed = store.Stream().Name
	cfg.ReadOnly = false
	r := newRunner(m.name, memoryModel[V]{m}, store, m.progress, cfg)
	r.complete = true
	return r
}

// Get returns the value of key and whether there is one. What the value points to is
// shared with other readers and must not be changed.
func (m *Memory[V]) Get(key string) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k, ok := m.values[key]
	return k.value, ok
}

// Len returns how many values there are.
func (m *Memory[V]) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.values)
}

// List is [View.List]. It takes microseconds, whatever the size of the index.
func (m *Memory[V]) List(index, after string, limit int) (items []V, next string, err error) {
	if !isIndex(index) {
		return nil, "", fmt.Errorf("model %s: index: %w", m.name, ErrKey)
	}
	before, err := decodeCursor(after)
	if err != nil {
		return nil, "", err
	}
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	prefix, last := index+".", ""
	m.mu.RLock()
	defer m.mu.RUnlock()
	for key := range m.indexes.below(prefix, before) {
		k, ok := m.values[m.targets[key]]
		if !ok {
			continue
		}
		if len(items) == limit {
			return items, base64.RawURLEncoding.EncodeToString([]byte(last)), nil
		}
		items, last = append(items, k.value), strings.TrimPrefix(key, prefix)
	}
	return items, "", nil
}

// Wait is [View.Wait].
func (m *Memory[V]) Wait(ctx context.Context, sequence uint64) error {
	return m.progress.wait(ctx, m.followed, sequence)
}

// Await is [View.Await].
func (m *Memory[V]) Await(ctx context.Context) error {
	for _, p := range endpoint.Waits(ctx) {
		if p.Stream == m.followed {
			return await(ctx, m.progress, p)
		}
	}
	return m.progress.fit()
}

// memoryModel is a [Memory] as its runner sees it.
type memoryModel[V any] struct{ *Memory[V] }

func (m memoryModel[V]) check(context.Context) error { return nil }

func (m memoryModel[V]) checkpoint(context.Context) (checkpoint, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.at, nil
}

func (m memoryModel[V]) orphaned(context.Context) (bool, error) { return false, nil }

func (m memoryModel[V]) watch(context.Context, func(uint64), func(error)) (stop func(), err error) {
	return func() {}, nil
}

func (m memoryModel[V]) connections() []*nats.Conn { return nil }

func (m memoryModel[V]) open(context.Context, checkpoint, source) (writer, error) {
	return &memoryWriter[V]{Memory: m.Memory}, nil
}

// memoryWriter folds into a step, which becomes visible as a whole.
type memoryWriter[V any] struct {
	*Memory[V]
	writes map[string]write
}

// maxMemoryStep is how many keys a step has at most, which readers wait for.
const maxMemoryStep = 1000

func (w *memoryWriter[V]) fold(_ context.Context, e event.Event, data event.Data) (taken bool, err error) {
	if len(w.writes) >= maxMemoryStep {
		return false, nil
	}
	d := &draft{lookup: w.lookup}
	if err := w.apply(d, e, data); err != nil {
		return false, &poisonError{err}
	}
	if w.writes == nil {
		w.writes = make(map[string]write, len(d.order))
	}
	for _, key := range d.order {
		w.writes[key] = d.writes[key]
	}
	return true, nil
}

func (w *memoryWriter[V]) apply(d *draft, e event.Event, data event.Data) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	if err := w.Memory.fold(&Tx[V]{d}, e, data); err != nil {
		return err
	}
	return d.wrong
}

// lookup needs no lock: this is the only writer, and seal is called by the same
// goroutine.
func (w *memoryWriter[V]) lookup(key string) (stored, error) { //nolint:unparam // a draft's lookup may fail elsewhere
	if m, ok := w.writes[key]; ok {
		return stored{value: m.value, live: !m.remove}, nil
	}
	k, ok := w.values[key]
	return stored{value: k.json, live: ok}, nil
}

func (w *memoryWriter[V]) seal(_ context.Context, next checkpoint) error {
	values := make(map[string]kept[V], len(w.writes))
	for key, m := range w.writes {
		if m.remove || isIndexKey(key) {
			continue
		}
		k := kept[V]{json: m.value}
		if err := json.Unmarshal(m.value, &k.value); err != nil {
			return fmt.Errorf("value of key %s: %w", key, err)
		}
		values[key] = k
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, m := range w.writes {
		switch {
		case !isIndexKey(key) && m.remove:
			delete(w.values, key)
		case !isIndexKey(key):
			w.values[key] = values[key]
		case m.remove:
			delete(w.targets, key)
			w.indexes.remove(key)
		default:
			w.targets[key] = string(m.value)
			w.indexes.add(key)
		}
	}
	next.revision = w.at.revision + 1
	w.at, w.writes = next, nil
	return nil
}

func (w *memoryWriter[V]) store(context.Context) error { return nil }

func (w *memoryWriter[V]) stored() checkpoint {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.at
}

func (w *memoryWriter[V]) close() {}
