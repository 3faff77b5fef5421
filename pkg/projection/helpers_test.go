package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

type added struct {
	Owner  string `json:"owner"`
	Amount int    `json:"amount"`
}

func (added) EventType() string { return "thing.added" }

type moved struct {
	Owner string `json:"owner"`
}

func (moved) EventType() string { return "thing.moved" }

type removed struct{}

func (removed) EventType() string { return "thing.removed" }

// spread adds Amount to each of Keys keys and takes each key's old index entry back.
type spread struct {
	Keys   int `json:"keys"`
	Amount int `json:"amount"`
}

func (spread) EventType() string { return "thing.spread" }

var (
	things   = eventstore.Stream{Name: "THINGS", Entity: "thing"}
	registry = event.NewRegistry("thing", event.Define[added](1), event.Define[moved](1), event.Define[removed](1), event.Define[spread](1))
)

// value counts how often it was written, so that folding twice or not at all shows.
type value struct {
	ID     string `json:"id"`
	Owner  string `json:"owner"`
	Amount int    `json:"amount"`
	Folds  int    `json:"folds"`
}

func fold(tx *projection.Tx[value], e event.Event, data event.Data) error {
	v, ok, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	if !ok {
		v = value{ID: e.Subject}
	}
	v.Folds++
	switch d := data.(type) {
	case added:
		reindex(tx, v, d.Owner)
		v.Owner, v.Amount = d.Owner, v.Amount+d.Amount
	case moved:
		reindex(tx, v, d.Owner)
		v.Owner = d.Owner
	case removed:
		if v.Owner != "" {
			tx.Unindex(indexKey(v.Owner, v.ID))
		}
		tx.Delete(v.ID)
		return nil
	case spread:
		return foldSpread(tx, v, d)
	}
	tx.Put(v.ID, v)
	return nil
}

func foldSpread(tx *projection.Tx[value], v value, d spread) error {
	tx.Put(v.ID, v)
	for i := range d.Keys {
		id := fmt.Sprintf("%s-%d", v.ID, i)
		part, ok, err := tx.Get(id)
		if err != nil {
			return err
		}
		if ok && part.Folds%2 == 1 {
			tx.Unindex(indexKey(part.Owner, id))
		} else {
			tx.Index(indexKey(v.ID, id), id)
		}
		tx.Put(id, value{ID: id, Owner: v.ID, Amount: part.Amount + d.Amount, Folds: part.Folds + 1})
	}
	return nil
}

func reindex(tx *projection.Tx[value], v value, owner string) {
	if v.Owner == owner {
		return // one write only
	}
	if v.Owner != "" {
		tx.Unindex(indexKey(v.Owner, v.ID))
	}
	tx.Index(indexKey(owner, v.ID), v.ID)
}

func indexKey(owner, id string) string { return "by-owner." + owner + "." + id }

// memory is the same model in a map, fold by fold.
type memory map[string]string

func (m memory) fold(id string, data event.Data) {
	v := m.value(id)
	v.ID = id
	v.Folds++
	switch d := data.(type) {
	case added:
		delete(m, indexKey(v.Owner, id))
		v.Owner, v.Amount = d.Owner, v.Amount+d.Amount
		m[indexKey(v.Owner, id)] = id
	case moved:
		delete(m, indexKey(v.Owner, id))
		v.Owner = d.Owner
		m[indexKey(v.Owner, id)] = id
	case removed:
		delete(m, indexKey(v.Owner, id))
		delete(m, id)
		return
	case spread:
		for i := range d.Keys {
			key := fmt.Sprintf("%s-%d", id, i)
			part := m.value(key)
			if part.Folds%2 == 1 {
				delete(m, indexKey(id, key))
			} else {
				m[indexKey(id, key)] = key
			}
			m.put(value{ID: key, Owner: id, Amount: part.Amount + d.Amount, Folds: part.Folds + 1})
		}
	}
	m.put(v)
}

func (m memory) value(key string) (v value) {
	if text, ok := m[key]; ok {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			panic(err)
		}
	}
	return v
}

func (m memory) put(v value) {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	m[v.ID] = string(data)
}

// tb is what tests and property tests have in common.
type tb interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// world is a stream with a writer and the memory of what was written.
type world struct {
	js    jetstream.JetStream
	store *eventstore.Store

	mu     sync.Mutex
	tails  map[string]eventstore.Tail
	memory memory
	last   uint64
}

func newWorld(t tb, js jetstream.JetStream) *world {
	t.Helper()
	if _, err := js.CreateStream(t.Context(), eventstore.HistoryConfig(things)); err != nil {
		t.Fatalf("create the history: %v", err)
	}
	createBucket(t, js)
	w := &world{js: js, store: eventstore.New(js, things, registry)}
	w.forget()
	return w
}

// forget makes the world's writer begin anew.
func (w *world) forget() {
	w.tails, w.memory = make(map[string]eventstore.Tail), make(memory)
}

// wipe empties history and bucket.
func (w *world) wipe(t tb) {
	t.Helper()
	for _, name := range []string{things.Name, "KV_" + bucketName} {
		s, err := w.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatalf("wipe: %v", err)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatalf("wipe: %v", err)
		}
	}
	w.forget()
}

const bucketName = "things"

func createBucket(t tb, js jetstream.JetStream) {
	t.Helper()
	if _, err := js.CreateStream(t.Context(), projection.BucketConfig(bucketName)); err != nil {
		t.Fatalf("create the bucket: %v", err)
	}
}

func (w *world) write(t tb, id string, data event.Data) uint64 {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	e, err := registry.New(t.Context(), id, data)
	if err != nil {
		t.Fatalf("make an event: %v", err)
	}
	tail, err := w.store.Append(t.Context(), id, w.tails[id], []event.Event{e})
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	w.tails[id], w.last = tail, tail.Sequence
	w.memory.fold(id, data)
	return tail.Sequence
}

// follower is a view with its running runner.
type follower struct {
	view   *projection.View[value]
	runner *projection.Runner
}

func quick() projection.Config {
	return projection.Config{Log: slog.New(slog.DiscardHandler), StandBy: 50 * time.Millisecond}
}

func follow(t tb, js jetstream.JetStream, cfg projection.Config) follower {
	t.Helper()
	return followWith(t, js, cfg, fold)
}

func followWith(t tb, js jetstream.JetStream, cfg projection.Config, f func(*projection.Tx[value], event.Event, event.Data) error) follower {
	t.Helper()
	view := projection.KV(js, bucketName, f)
	runner := view.Follow(eventstore.New(js, things, registry), cfg)
	if err := runner.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	return follower{view: view, runner: runner}
}

func (f follower) stop(t tb) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := f.runner.Stop(ctx); err != nil {
		t.Fatalf("stop: %v", err)
	}
}

func (f follower) catchUp(t tb) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := f.runner.CaughtUp(ctx); err != nil {
		t.Fatalf("catch up: %v (health: %v)", err, f.runner.Health())
	}
}

// dump returns the whole bucket but the checkpoint.
func dump(t tb, js jetstream.JetStream) memory {
	t.Helper()
	return dumpOf(t, js, bucketName)
}

func dumpOf(t tb, js jetstream.JetStream, bucket string) memory {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatalf("open the bucket: %v", err)
	}
	watcher, err := kv.WatchAll(t.Context(), jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatalf("watch the bucket: %v", err)
	}
	defer func() { _ = watcher.Stop() }()
	all := make(memory)
	for entry := range watcher.Updates() {
		if entry == nil {
			break
		}
		all[entry.Key()] = string(entry.Value())
	}
	if _, ok := all["checkpoint.THINGS"]; !ok {
		t.Fatalf("the bucket has no checkpoint")
	}
	delete(all, "checkpoint.THINGS")
	return all
}

func (w *world) compare(t tb) {
	t.Helper()
	compare(t, dump(t, w.js), w.memory)
}

func compare(t tb, got, want memory) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Fatalf("key %s is %q, want %q", key, got[key], value)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			t.Fatalf("key %s is %q and should not be there", key, value)
		}
	}
}

// parked waits until the runner is parked and returns why.
func (f follower) parked(t tb, sequence uint64) *projection.ParkedError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := f.view.Wait(ctx, sequence)
	var parked *projection.ParkedError
	if !errors.As(err, &parked) {
		t.Fatalf("Wait: %v, want a ParkedError", err)
	}
	if health := f.runner.Health(); !errors.As(health, &parked) {
		t.Fatalf("Health: %v, want a ParkedError", health)
	}
	return parked
}

func start(t *testing.T) (*natstest.Server, *world) {
	t.Helper()
	srv := natstest.Start(t)
	return srv, newWorld(t, srv.JetStream(t))
}
