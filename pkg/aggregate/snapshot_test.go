package aggregate_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

const snapshotBucket = "counter-snapshots"

func (w *world) bucket(t *testing.T) jetstream.KeyValue {
	t.Helper()
	kv, err := w.js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: snapshotBucket})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// snapshotting returns aggregates of another process, with nothing in memory.
func (w *world) snapshotting(t *testing.T, cfg aggregate.SnapshotConfig) *aggregate.Aggregates[counter] {
	t.Helper()
	w.bucket(t)
	js := w.JetStream(t)
	all := aggregate.New(eventstore.New(js, counters, types), apply)
	snapshots := all.Snapshots(snapshotBucket, cfg)
	if err := snapshots.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := snapshots.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return all
}

func wantRevision(t *testing.T, kv jetstream.KeyValue, id string) uint64 {
	t.Helper()
	var revision uint64
	eventually(t, func() string {
		entry, err := kv.Get(t.Context(), id)
		if err != nil {
			return "no snapshot of " + id + ": " + err.Error()
		}
		revision = entry.Revision()
		return ""
	})
	return revision
}

func wantState(t *testing.T, all *aggregate.Aggregates[counter], id string, n int, version uint64) {
	t.Helper()
	got, err := all.Get(t.Context(), id)
	if err != nil || got.State.Count != n || got.Version != version {
		t.Errorf("counter %s is %+v, %v; want count %d at version %d", id, got, err, n, version)
	}
}

func TestLoadBeginsAtTheSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.all = w.snapshotting(t, aggregate.SnapshotConfig{})
	w.do(t, "a", open(1000))
	for range 22 {
		w.do(t, "a", count(1))
	}
	kv := w.bucket(t)
	if _, err := kv.Get(t.Context(), "a"); err == nil {
		t.Error("a snapshot was taken before 24 events")
	}
	w.do(t, "a", count(1))
	wantRevision(t, kv, "a")
	for range 5 {
		w.do(t, "a", count(1))
	}

	// The events below the snapshot are gone, so it must be what loads begin with.
	stream, err := w.js.Stream(t.Context(), counters.Name)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); sequence < 20; sequence++ {
		if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	wantState(t, w.snapshotting(t, aggregate.SnapshotConfig{}), "a", 28, 29)
}

func TestSnapshotThatDoesNotFitIsIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.all = w.snapshotting(t, aggregate.SnapshotConfig{Every: 4})
	w.do(t, "a", open(1000))
	w.do(t, "a", count(7))
	kv := w.bucket(t)
	wantRevision(t, kv, "a")
	entry, err := kv.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	value := string(entry.Value())
	for name, change := range map[string]string{
		"garbage":              `{`,
		"another shape":        `{"shape":"0000","version":8,"sequence":8,"state":{"Limit":1,"Count":99}}`,
		"ahead of the history": replace(t, value, `"version":8`, `"version":80`),
		"another event":        replace(t, value, `"sequence":8`, `"sequence":7`),
	} {
		if _, err := kv.Put(t.Context(), "a", []byte(change)); err != nil {
			t.Fatal(err)
		}
		all := w.snapshotting(t, aggregate.SnapshotConfig{Every: 4})
		t.Log(name)
		wantState(t, all, "a", 7, 8)
	}

	// A later release folds differently and says so.
	if _, err := kv.Put(t.Context(), "a", []byte(replace(t, value, `"Count":7`, `"Count":99`))); err != nil {
		t.Fatal(err)
	}
	wantState(t, w.snapshotting(t, aggregate.SnapshotConfig{Every: 4}), "a", 99, 8)
	wantState(t, w.snapshotting(t, aggregate.SnapshotConfig{Every: 4, Version: 1}), "a", 7, 8)
}

// An erased aggregate's snapshot does not come back from a process that still had the
// aggregate in memory.
func TestRemovedSnapshotStaysAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.all = w.snapshotting(t, aggregate.SnapshotConfig{Every: 4})
	w.do(t, "a", open(1000))
	w.do(t, "a", count(3))
	kv := w.bucket(t)
	wantRevision(t, kv, "a")
	if err := kv.Purge(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.do(t, "a", count(4)) // passes the next multiple
	w.do(t, "b", open(1000))
	w.do(t, "b", count(3)) // its snapshot comes after that of a
	wantRevision(t, kv, "b")
	if entry, err := kv.Get(t.Context(), "a"); err == nil {
		t.Errorf("the snapshot is back at revision %d", entry.Revision())
	}
	w.wantCount(t, "a", 7, 8)
}

func TestCommandIsRecognisedThroughASnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.all = w.snapshotting(t, aggregate.SnapshotConfig{Every: 4})
	w.do(t, "a", open(1000))
	keyed := event.WithMetadata(t.Context(), event.Metadata{CausationID: "command-1", Keyed: true})
	command := aggregate.Command[counter]{ID: "a", Decide: count(1)}
	if _, err := w.all.Do(keyed, command); err != nil {
		t.Fatal(err)
	}
	w.do(t, "a", count(2))
	wantRevision(t, w.bucket(t), "a")
	again, err := w.snapshotting(t, aggregate.SnapshotConfig{Every: 4}).Do(keyed, command)
	if err != nil || !again.Repeated || again.Version != 2 || again.State.Count != 1 {
		t.Errorf("the repeat is answered with %+v, %v", again, err)
	}
}

func replace(t *testing.T, s, old, with string) string {
	t.Helper()
	if !strings.Contains(s, old) {
		t.Fatalf("%s has no %s", s, old)
	}
	return strings.Replace(s, old, with, 1)
}
