package projection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// Old and new programs serve side by side, each its own version of the model.
func TestVersionsSideBySide(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	for i := range 200 {
		w.write(t, fmt.Sprintf("id%d", i%7), added{"x", 1})
	}
	old := follow(t, w.js, quick())
	defer old.stop(t)
	js := srv.JetStream(t)
	doubled := func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		if d, ok := data.(added); ok {
			d.Amount *= 2
			data = d
		}
		return fold(tx, e, data)
	}
	view := projection.KV(js, bucketName, doubled, projection.Version(2))
	runner := view.Follow(eventstore.New(js, things, registry), quick())
	if err := runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer follower{runner: runner}.stop(t)
	if v, err := view.Get(t.Context(), "id0"); err != nil || v.Amount != 2*w.memory.value("id0").Amount { // Start has waited
		t.Errorf("right after the start: %+v, %v", v, err)
	}
	last := w.write(t, "id0", added{"x", 5})
	old.catchUp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := view.Wait(ctx, last); err != nil {
		t.Fatal(err)
	}
	want := w.memory.value("id0").Amount
	if v, err := old.view.Get(ctx, "id0"); err != nil || v.Amount != want {
		t.Errorf("version 1: %+v, %v, want %d", v, err, want)
	}
	if v, err := view.Get(ctx, "id0"); err != nil || v.Amount != 2*want {
		t.Errorf("version 2: %+v, %v, want %d", v, err, 2*want)
	}
	if s, err := runner.Status(ctx); err != nil || s.Version != 2 {
		t.Errorf("status %+v, %v", s, err)
	}
	w.compare(t)
}

func rebuilding() projection.Config {
	cfg := quick()
	cfg.Grace = time.Second
	return cfg
}

// damage changes a value of the model so that only a rebuild mends it.
func damage(t tb, js jetstream.JetStream, key string) {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), bucketName)
	if err != nil {
		t.Fatalf("damage: %v", err)
	}
	if _, err := kv.Put(t.Context(), key, []byte(`{"id":"damaged"}`)); err != nil {
		t.Fatalf("damage: %v", err)
	}
}

// gone returns when the model has left its first bucket, and that was emptied.
func gone(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	until(t, func() bool {
		kv, err := js.KeyValue(t.Context(), bucketName)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := kv.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(keys) == 2 // a checkpoint, and where the model is
	})
}

// While a model is rebuilt it serves, who writes reads it back in every process, and
// in the end all of them read what was rebuilt.
func TestRebuildWhileItServes(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	for i := range 300 {
		w.write(t, fmt.Sprintf("id%d", i%7), added{fmt.Sprintf("o%d", i%3), 1})
	}
	w.write(t, "damaged", added{"x", 1})
	followers := []follower{follow(t, w.js, rebuilding()), follow(t, srv.JetStream(t), rebuilding())}
	for _, f := range followers {
		f.catchUp(t)
	}
	damage(t, w.js, "damaged")
	if err := followers[1].runner.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := followers[0].runner.Rebuild(t.Context()); !errors.Is(err, projection.ErrRebuilding) {
		t.Errorf("again: %v, want ErrRebuilding", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	mended := func(f follower) bool {
		v, err := f.view.Get(ctx, "damaged")
		return err == nil && v.ID == "damaged" && v.Folds == 1
	}
	var reading sync.WaitGroup
	busy, idle := context.WithCancel(ctx)
	reading.Go(func() { // so that there is always something that the next generation lacks
		for busy.Err() == nil {
			w.write(t, "id1", added{"x", 1})
		}
	})
	for i, f := range followers {
		id, waited := fmt.Sprintf("writer%d", i), new(atomic.Int64)
		reading.Go(func() {
			for busy.Err() == nil {
				last := w.write(t, id, added{"x", 1})
				if err := f.view.Wait(ctx, last); err != nil {
					t.Errorf("Wait: %v (%v)", err, f.runner.Health())
					return
				}
				waited.Add(1)
			}
		})
		reading.Go(func() {
			for busy.Err() == nil {
				folds := waited.Load()
				if v, err := f.view.Get(ctx, id); folds > 0 && (err != nil || int64(v.Folds) < folds) {
					t.Errorf("read %+v, %v after waiting for %d", v, err, folds)
				}
			}
		})
	}
	until(t, func() bool { return mended(followers[0]) && mended(followers[1]) })
	idle()
	reading.Wait()
	for _, f := range followers {
		f.catchUp(t)
	}
	compare(t, dumpOf(t, w.js, bucketName+"-g1"), w.memory)
	alone := projection.KV(w.js, bucketName, fold) // without a runner
	if v, err := alone.Get(ctx, "id0"); err != nil || v.Amount != w.memory.value("id0").Amount {
		t.Errorf("a reader alone: %+v, %v", v, err)
	}
	gone(t, w.js)
	for _, f := range followers {
		f.stop(t)
	}
	f := follow(t, w.js, rebuilding())
	defer f.stop(t)
	w.write(t, "id0", added{"x", 1})
	f.catchUp(t)
	compare(t, dumpOf(t, w.js, bucketName+"-g1"), w.memory)
}

// Processes die at any commit of a rebuild, and others begin: the model is exact all
// the same, and an old process that wakes up finds its way.
func TestRebuildWithKills(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	asleep, awake := make(chan struct{}), make(chan struct{})
	sleepy := followWith(t, srv.JetStream(t), rebuilding(), func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		if e.Type == "thing.removed" && e.Version == 2 {
			select {
			case <-asleep:
			default:
				close(asleep)
			}
			<-awake
		}
		return fold(tx, e, data)
	})
	for i := range 100 {
		w.write(t, fmt.Sprintf("id%d", i%7), added{"x", 1})
	}
	w.write(t, "nap", added{"x", 1})
	sleepy.catchUp(t)
	w.write(t, "nap", removed{})
	select {
	case <-asleep:
	case <-t.Context().Done():
	}
	f := follow(t, w.js, rebuilding())
	f.catchUp(t)
	if err := f.runner.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.stop(t)
	for kill := range int64(3) {
		died := make(chan struct{})
		cut := &cutter{key: "PUB $KV." + bucketName + "-g1.checkpoint.THINGS ", cut: func(commit int64) (bool, bool) {
			if commit == kill+1 {
				close(died)
			}
			return commit > kill, false
		}}
		victim := follow(t, connectCut(t, srv, cut, nats.NoReconnect()), rebuilding())
		until(t, func() bool {
			w.write(t, fmt.Sprintf("id%d", kill), added{"x", 1})
			select {
			case <-died:
				return true
			default:
				return false
			}
		})
		victim.stop(t)
	}
	g := follow(t, srv.JetStream(t), rebuilding())
	gone(t, w.js)
	close(awake)
	w.write(t, "id0", moved{"y"})
	g.catchUp(t)
	sleepy.catchUp(t)
	compare(t, dumpOf(t, w.js, bucketName+"-g1"), w.memory)
	sleepy.stop(t)
	g.stop(t)
	kv, err := w.js.KeyValue(t.Context(), bucketName)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := kv.Keys(t.Context()); err != nil || len(keys) != 2 {
		t.Errorf("the bucket that was left has %v, %v", keys, err)
	}
}
