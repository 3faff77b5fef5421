package projection_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/pkg/timeline"
)

// restore leaves the history as the restore of a backup does that ends at last: with
// the first events, and in another timeline. Then it grows past where it was before.
func restore(t *testing.T, w *world, last uint64) {
	t.Helper()
	now, err := timeline.Of(streamInfo(t, w.js))
	if err != nil {
		t.Fatal(err)
	}
	config := eventstore.HistoryConfig(things)
	config.Metadata = map[string]string{timeline.MetadataKey: now.Fork(last, time.Now()).Metadata()}
	recreate(t, w.js, config)
	w.forget()
	for range last {
		w.write(t, "a", added{"x", 1})
	}
	for range 20 {
		w.write(t, "b", added{"y", 1})
	}
}

// A model that is ahead of a restored history is never taken for right, however long the
// history grows. It is not read from until it is rebuilt, and then it is exact.
func TestAheadOfARestoredHistory(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"while it is followed", "while it is not"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			_, w := start(t)
			f := follow(t, w.js, quick())
			db := newDB(t)
			s := w.followSQL(t, db.Writer(), foldSQL)
			for range 10 {
				w.write(t, "a", added{"x", 1})
			}
			f.catchUp(t)
			s.catchUp(t)
			if when == "while it is not" {
				f.stop(t)
				s.stop(t)
			}
			restore(t, w, 5)
			if when == "while it is not" {
				f, s = follow(t, w.js, quick()), w.followSQL(t, db.Writer(), foldSQL)
			}
			defer func() { f.stop(t); s.stop(t) }()
			if parked := f.parked(t, 1<<40); !errors.Is(parked, projection.ErrCheckpoint) {
				t.Errorf("parked: %v", parked)
			}
			if parked := s.parked(t, 1<<40); !errors.Is(parked, projection.ErrCheckpoint) {
				t.Errorf("tables parked: %v", parked)
			}
			w.write(t, "b", added{"y", 1})
			if v, err := f.view.Get(t.Context(), "a"); endpoint.CodeOf(err) != endpoint.CodeUnavailable {
				t.Errorf("serves %+v, %v", v, err)
			}
			if err := f.view.Wait(t.Context(), 1); !errors.Is(err, projection.ErrCheckpoint) {
				t.Errorf("has waited for what is no more: %v", err)
			}
			if err := s.tables.Await(t.Context()); endpoint.CodeOf(err) != endpoint.CodeUnavailable {
				t.Errorf("tables are awaited: %v", err)
			}
			if err := f.runner.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.runner.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, func() bool { return f.runner.Health() == nil && s.runner.Health() == nil })
			f.catchUp(t)
			s.catchUp(t)
			compare(t, dumpOf(t, w.js, bucketName+"-g1"), w.memory)
			w.compareSQL(t, db.Reader())
			if v, err := f.view.Get(t.Context(), "a"); err != nil || v.Folds != 5 {
				t.Errorf("rebuilt: %+v, %v", v, err)
			}
		})
	}
}

// A model that had come no further than the backup goes on, and belongs to the new
// timeline from then on.
func TestNotAheadOfARestoredHistory(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	db := newDB(t)
	f, s := follow(t, w.js, quick()), w.followSQL(t, db.Writer(), foldSQL)
	for range 5 {
		w.write(t, "a", added{"x", 1})
	}
	f.catchUp(t)
	s.catchUp(t)
	f.stop(t)
	s.stop(t)
	restore(t, w, 5)
	for range 2 { // the second time its checkpoint lies beyond the backup
		f, s = follow(t, w.js, quick()), w.followSQL(t, db.Writer(), foldSQL)
		f.catchUp(t)
		s.catchUp(t)
		f.stop(t)
		s.stop(t)
		compare(t, dump(t, w.js), w.memory)
		w.compareSQL(t, db.Reader())
	}
}

// A stream that lost its end, and grew past it again, still is not what was folded.
func TestEndLostAndGrownAgain(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	w.write(t, "a", added{"x", 1})
	f := follow(t, w.js, quick())
	f.catchUp(t)
	f.stop(t)
	putCheckpoint(t, w, `{"stream":"THINGS","created":"`+streamInfo(t, w.js).Created.Format(time.RFC3339Nano)+`","sequence":5}`)
	f = follow(t, w.js, quick())
	defer f.stop(t)
	f.parked(t, 1)
	for range 10 {
		w.write(t, "a", added{"x", 1})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*quick().StandBy)
	defer cancel()
	<-ctx.Done() // when it would have looked several times
	if err := f.runner.Health(); !errors.Is(err, projection.ErrCheckpoint) {
		t.Errorf("health: %v", err)
	}
}

// A rebuild of tables that serve makes nobody see half of them, and ends.
func TestSQLRebuildWhileItServes(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	db := newDB(t)
	s := w.followSQL(t, db.Writer(), foldSQL)
	defer s.stop(t)
	for range 50 {
		w.write(t, "a", added{"x", 1})
	}
	s.catchUp(t)
	if _, err := db.Writer().ExecContext(t.Context(), "UPDATE things_v1 SET amount = 7"); err != nil {
		t.Fatal(err)
	}
	if err := s.runner.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.tables.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.compareSQL(t, db.Reader())

	noDrop := projection.Schema{Model: thingTables.Model, Create: thingTables.Create}
	other := projection.SQL(db.Writer(), noDrop, foldSQL)
	if err := other.Follow(eventstore.New(w.js, things, registry), quick()).Rebuild(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("rebuild without Drop: %v", err)
	}
}
