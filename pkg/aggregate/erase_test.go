package aggregate_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

type wiped struct{}

func (wiped) EventType() string { return "counter.erased" }

func wipe(counter) ([]event.Data, error) { return []event.Data{wiped{}}, nil }

// erasable is a world whose counters can be erased, with snapshots of every second
// event.
func erasable(t *testing.T) (*world, jetstream.KeyValue) {
	t.Helper()
	w := newWorld(t)
	w.store = eventstore.New(w.js, counters, event.NewRegistry("counter", event.Define[opened](1), event.Define[counted](1), event.Define[wiped](1)))
	w.all = aggregate.New(w.store, func(c counter, e event.Event, data event.Data) counter {
		if _, ok := data.(wiped); ok {
			return counter{}
		}
		return apply(c, e, data)
	})
	bucket, err := w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "snapshots"})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := w.js.Stream(t.Context(), "KV_snapshots")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.DenyDelete = false
	if err := w.js.DeleteStream(t.Context(), config.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	snapshots := w.all.Snapshots("snapshots", aggregate.SnapshotConfig{Every: 2})
	if err := snapshots.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := snapshots.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return w, bucket
}

func TestErasedAggregateKeepsNothing(t *testing.T) {
	t.Parallel()
	w, bucket := erasable(t)
	w.do(t, "a", open(7))
	w.do(t, "a", count(2))
	eventually(t, func() string {
		if _, err := bucket.Get(t.Context(), "a"); err != nil {
			return err.Error()
		}
		return ""
	})
	w.do(t, "a", wipe)
	for range 2 {
		if err := w.all.Erase(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	w.wantCount(t, "a", 0, 4)
	entry, err := bucket.Get(t.Context(), "a")
	if err != nil || string(entry.Value()) != "{}" {
		t.Errorf("the snapshot is %v, %v", entry, err)
	}
	if events, err := w.all.History(t.Context(), "a"); err != nil || len(events) != 1 {
		t.Errorf("the history is %v, %v", events, err)
	}
	w.do(t, "b", open(1))
	if err := w.all.Erase(t.Context(), "b"); !errors.Is(err, eventstore.ErrNotErased) {
		t.Errorf("a living one: %v", err)
	}
}

// A guard that comes late finds what erasure has not got to yet, and makes no dead
// letter of it.
func TestGuardLeavesNoTraceOfTheErased(t *testing.T) {
	t.Parallel()
	w, _ := erasable(t)
	first := w.do(t, "a", open(7))
	w.do(t, "a", count(2))
	last := w.do(t, "a", wipe)
	w.do(t, "b", open(7))
	w.publish(t, "counter.erased.b", nil, "{}")
	stream, err := w.js.Stream(t.Context(), counters.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SecureDeleteMsg(t.Context(), first.Position); err != nil {
		t.Fatal(err)
	}
	group := bus.Group{Stream: counters.Name, Name: "counter-guard"}
	w.consume(t, group, counters.History(), nil, aggregate.Guard(w.store, group, slog.New(slog.DiscardHandler)))
	w.settled(t, group)
	if letters := w.letters(t); len(letters) != 1 || letters[0].Subject != "counter.erased.b" {
		t.Errorf("dead letters: %+v", letters)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 2 {
		t.Errorf("history has %d messages, %v", info.State.Msgs, err)
	}
	if _, err := stream.GetMsg(t.Context(), last.Position); err != nil {
		t.Errorf("the event that erased it: %v", err)
	}
	w.wantCount(t, "a", 0, 4)
	w.wantCount(t, "b", 0, 1)
}
