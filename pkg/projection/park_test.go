package projection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

var errFold = errors.New("the fold has had enough")

// A fold that fails or panics, and an event this program cannot decode, park the
// model exactly in front of the event. Another process that can fold it gets the
// model moving, and the parked one notices.
func TestParkedInFrontOfAnEvent(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(tx *projection.Tx[value], e event.Event) error{
		"error": func(*projection.Tx[value], event.Event) error { return errFold },
		"panic": func(*projection.Tx[value], event.Event) error { panic("fold") },
		"key": func(tx *projection.Tx[value], _ event.Event) error {
			tx.Put("not.a.key", value{})
			return nil
		},
		"index": func(tx *projection.Tx[value], _ event.Event) error {
			tx.Index("checkpoint.THINGS", "a")
			return nil
		},
		"size": func(tx *projection.Tx[value], _ event.Event) error {
			tx.Put("a", value{Owner: strings.Repeat("x", 600<<10)})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, w := start(t)
			cfg := quick()
			log := &signals{again: make(chan struct{})}
			cfg.Log = slog.New(slog.NewJSONHandler(log, nil))
			f := followWith(t, w.js, cfg, func(tx *projection.Tx[value], e event.Event, data event.Data) error {
				if _, ok := data.(moved); ok {
					tx.Put(e.Subject, value{ID: "must not be seen"})
					return bad(tx, e)
				}
				return fold(tx, e, data)
			})
			defer f.stop(t)
			w.write(t, "a", added{"x", 1})
			w.write(t, "b", added{"x", 1})
			before := maps.Clone(w.memory)
			sequence := w.write(t, "a", moved{"y"})
			w.write(t, "b", added{"x", 1})
			parked := f.parked(t, w.last)
			if parked.Sequence != sequence || parked.Type != "thing.moved" || parked.Bucket != bucketName || parked.Stream != things.Name {
				t.Errorf("parked as %+v, want at %d", parked, sequence)
			}
			if name == "error" && !errors.Is(parked, errFold) {
				t.Errorf("%v does not wrap the fold's error", parked)
			}
			if name == "error" { // parked it stays, and says so once
				srv.Restart(t)
				awaitConnection(t, w.js)
			}
			compare(t, dump(t, w.js), before)
			if _, err := f.view.Get(t.Context(), "a"); err != nil {
				t.Errorf("a parked model does not serve: %v", err)
			}
			g := follow(t, srv.JetStream(t), quick())
			defer g.stop(t)
			g.catchUp(t)
			w.compare(t)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			select {
			case <-log.again:
			case <-ctx.Done():
				t.Fatalf("the parked runner does not notice: %v", f.runner.Health())
			}
			if err := f.view.Wait(ctx, w.last); err != nil {
				t.Errorf("Wait: %v", err)
			}
			if n := log.count("read model is parked"); n != 1 {
				t.Errorf("logged %d times, want once", n)
			}
		})
	}
}

// signals is a log that tells when a message appears.
type signals struct {
	mu       sync.Mutex
	messages []string
	again    chan struct{}
}

func (s *signals) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(line))
	if bytes.Contains(line, []byte("read model moves again")) {
		close(s.again)
	}
	return len(line), nil
}

func (s *signals) count(message string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(strings.Join(s.messages, ""), message)
}

func TestParkedOnANewerEvent(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	e, err := registry.New(t.Context(), "a", added{"x", 1})
	if err != nil {
		t.Fatal(err)
	}
	e.DataSchema = "/schemas/thing.added/v2"
	newer := eventstore.New(w.js, things, event.NewRegistry("thing", event.Define[added](2, event.From(1, func(a added) added { return a }))))
	tail, err := newer.Append(t.Context(), "a", w.tails["a"], []event.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	parked := f.parked(t, tail.Sequence)
	if parked.Sequence != tail.Sequence || !errors.Is(parked, event.ErrNewerVersion) {
		t.Errorf("parked: %v, want ErrNewerVersion at %d", parked, tail.Sequence)
	}
	w.compare(t)
}

// What an older release wrote is folded as if it had been written today; where that
// cannot be, the model stands in front of it.
func TestEventsOfAnOlderRelease(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	now := event.NewRegistry("thing", event.Define[moved](1), event.Define[removed](1), event.Define[spread](1),
		event.Define[added](2, event.From(1, func(a added) added {
			if a.Amount < 0 {
				panic("nobody thought of that")
			}
			return added{Owner: a.Owner, Amount: 100 * a.Amount}
		})))
	w.write(t, "a", added{"x", 1})
	last := w.write(t, "a", moved{"y"})
	view := projection.KV(w.js, bucketName, fold)
	f := follower{view: view, runner: view.Follow(eventstore.New(w.js, things, now), quick())}
	if err := f.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer f.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := view.Wait(ctx, last); err != nil {
		t.Fatal(err)
	}
	if v, err := view.Get(ctx, "a"); err != nil || v.Amount != 100 || v.Owner != "y" {
		t.Errorf("folded to %+v, %v", v, err)
	}
	sequence := w.write(t, "a", added{"x", -1})
	if parked := f.parked(t, sequence); parked.Sequence != sequence || !errors.Is(parked, event.ErrUpcast) {
		t.Errorf("parked: %v, want ErrUpcast at %d", parked, sequence)
	}
}

// A checkpoint that does not belong to the stream parks the model, whatever happened
// to the stream.
func TestCheckpointThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, w *world){
		"another stream of the name": func(t *testing.T, w *world) {
			t.Helper()
			recreate(t, w.js, eventstore.HistoryConfig(things))
			w.forget()
			for range 20 {
				w.write(t, "a", added{"x", 1})
			}
		},
		"the end is gone": func(t *testing.T, w *world) {
			t.Helper()
			info := streamInfo(t, w.js)
			putCheckpoint(t, w, fmt.Sprintf(`{"stream":"THINGS","created":%q,"sequence":1000}`, info.Created.Format(time.RFC3339Nano)))
		},
		"what comes next is gone": func(t *testing.T, w *world) {
			t.Helper()
			last := w.write(t, "a", added{"x", 1})
			w.write(t, "a", added{"x", 1})
			history, err := w.js.Stream(t.Context(), things.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := history.Purge(t.Context(), jetstream.WithPurgeSequence(last+1)); err != nil {
				t.Fatal(err)
			}
		},
		"not a checkpoint": func(t *testing.T, w *world) {
			t.Helper()
			putCheckpoint(t, w, "garbage")
		},
		"values without checkpoint": func(t *testing.T, w *world) {
			t.Helper()
			kv, err := w.js.KeyValue(t.Context(), bucketName)
			if err != nil {
				t.Fatal(err)
			}
			if err := kv.Delete(t.Context(), "checkpoint.THINGS"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, w := start(t)
			f := follow(t, w.js, quick())
			for range 10 {
				w.write(t, "a", added{"x", 1})
			}
			f.catchUp(t)
			f.stop(t)
			damage(t, w)
			g := follow(t, w.js, quick())
			defer g.stop(t)
			if parked := g.parked(t, 1_000_000); !errors.Is(parked, projection.ErrCheckpoint) || parked.Sequence != 0 {
				t.Errorf("parked: %v, want ErrCheckpoint", parked)
			}
			if got, err := g.view.Get(t.Context(), "a"); !errors.Is(err, projection.ErrCheckpoint) || endpoint.CodeOf(err) != endpoint.CodeUnavailable {
				t.Errorf("a model that does not fit serves %+v, %v", got, err)
			}
			if got, _, err := g.view.List(t.Context(), "by-owner.x", "", 0); !errors.Is(err, projection.ErrCheckpoint) {
				t.Errorf("a model that does not fit lists %+v, %v", got, err)
			}
			if err := g.view.Await(t.Context()); endpoint.CodeOf(err) != endpoint.CodeUnavailable {
				t.Errorf("a model that does not fit is awaited: %v", err)
			}
		})
	}
}

// A stream that is replaced while the model is followed is noticed too.
func TestStreamReplacedWhileFollowing(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	recreate(t, w.js, eventstore.HistoryConfig(things))
	if parked := f.parked(t, 1_000_000); !errors.Is(parked, projection.ErrCheckpoint) {
		t.Errorf("parked: %v, want ErrCheckpoint", parked)
	}
}

// Messages erased one by one in the middle of the stream are no gap.
func TestErasureIsNoGap(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	w.write(t, "a", added{"x", 1})
	erased := w.write(t, "b", added{"x", 1})
	f.catchUp(t)
	f.stop(t)
	history, err := w.js.Stream(t.Context(), things.Name)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "a", added{"x", 1})
	for sequence := uint64(1); sequence <= erased; sequence++ {
		if err := history.SecureDeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, "c", added{"x", 1})
	g := follow(t, w.js, quick())
	defer g.stop(t)
	g.catchUp(t)
	if err := g.runner.Health(); err != nil {
		t.Errorf("Health: %v", err)
	}
}

// Deleting all keys and starting again rebuilds the model as it was.
func TestRebuild(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	for i := range 300 {
		w.write(t, fmt.Sprintf("id%d", i%20), added{fmt.Sprintf("o%d", i%3), i})
	}
	w.write(t, "id3", removed{})
	f.catchUp(t)
	w.compare(t)
	f.stop(t)
	bucket, err := w.js.Stream(t.Context(), "KV_"+bucketName)
	if err != nil {
		t.Fatal(err)
	}
	for name, wipe := range map[string]func() error{
		"purged": func() error { return bucket.Purge(t.Context()) },
		"deleted key by key": func() error {
			kv, err := w.js.KeyValue(t.Context(), bucketName)
			if err != nil {
				return err
			}
			keys, err := kv.Keys(t.Context())
			for _, key := range keys {
				err = errors.Join(err, kv.Delete(t.Context(), key))
			}
			return err
		},
	} {
		if err := wipe(); err != nil {
			t.Fatal(err)
		}
		g := follow(t, w.js, quick())
		g.catchUp(t)
		if got := dump(t, w.js); len(got) != len(w.memory) {
			t.Errorf("%s: %d keys, want %d", name, len(got), len(w.memory))
		}
		w.compare(t)
		g.stop(t)
	}
}

// A key changed by hand is folded on, not fought over.
func TestKeyChangedByHand(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	kv, err := w.js.KeyValue(t.Context(), bucketName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "a", []byte(`{"id":"a","owner":"x","amount":100,"folds":1}`)); err != nil {
		t.Fatal(err)
	}
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	if got, err := f.view.Get(t.Context(), "a"); err != nil || got.Amount != 101 {
		t.Errorf("%+v, %v, want amount 101", got, err)
	}
}

func streamInfo(t *testing.T, js jetstream.JetStream) *jetstream.StreamInfo {
	t.Helper()
	s, err := js.Stream(t.Context(), things.Name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo()
}

func putCheckpoint(t *testing.T, w *world, text string) {
	t.Helper()
	kv, err := w.js.KeyValue(t.Context(), bucketName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "checkpoint.THINGS", []byte(text)); err != nil {
		t.Fatal(err)
	}
}
