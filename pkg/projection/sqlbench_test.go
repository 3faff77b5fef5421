package projection_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// BenchmarkSQLRebuild folds 20,000 events of 2,000 aggregates into an empty file, two
// statements an event.
func BenchmarkSQLRebuild(b *testing.B) {
	const keys, perKey = 2_000, 10
	w := newWorld(b, natstest.Start(b).JetStream(b))
	var writers errgroup.Group
	writers.SetLimit(32)
	for key := range keys {
		writers.Go(func() error {
			id, tail := fmt.Sprintf("id%d", key), eventstore.Tail{}
			for i := range perKey {
				e, err := registry.New(b.Context(), id, added{fmt.Sprintf("o%d", key%100), i})
				if err != nil {
					return err
				}
				if tail, err = w.store.Append(b.Context(), id, tail, []event.Event{e}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		db, err := projection.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "models.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		f := w.followSQL(b, db.Writer(), foldSQL)
		f.catchUp(b)
		b.StopTimer()
		f.stop(b)
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*keys*perKey/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSQLVisible measures from a write to the moment when the table shows it.
func BenchmarkSQLVisible(b *testing.B) {
	w := newWorld(b, natstest.Start(b).JetStream(b))
	db, err := projection.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "models.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func(db *projection.SQLite) { _ = db.Close() }(db)
	f := w.followSQL(b, db.Writer(), foldSQL)
	defer f.stop(b)
	var amount sql.NullInt64
	for b.Loop() {
		b.StopTimer()
		sequence := w.write(b, "a", added{"o", 1})
		b.StartTimer()
		if err := f.tables.Wait(b.Context(), sequence); err != nil {
			b.Fatal(err)
		}
		if err := db.Reader().QueryRowContext(b.Context(), "SELECT amount FROM things_v1 WHERE id = 'a'").Scan(&amount); err != nil {
			b.Fatal(err)
		}
	}
}
