package projection_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

var thingTables = projection.Schema{
	Model: "things_v1",
	Create: []string{
		`CREATE TABLE things_v1 (id VARCHAR(128) NOT NULL PRIMARY KEY, owner VARCHAR(128) NOT NULL, amount BIGINT NOT NULL, folds BIGINT NOT NULL)`,
		`CREATE INDEX things_v1_by_owner ON things_v1 (owner, id)`,
	},
	Drop: []string{`DROP TABLE things_v1`},
}

// foldSQL is fold, into a table.
func foldSQL(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error {
	v := value{ID: e.Subject}
	err := tx.QueryRowContext(ctx, "SELECT owner, amount, folds FROM things_v1 WHERE id = $1", v.ID).Scan(&v.Owner, &v.Amount, &v.Folds)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	switch d := data.(type) {
	case added:
		v.Owner, v.Amount = d.Owner, v.Amount+d.Amount
	case moved:
		v.Owner = d.Owner
	case removed:
		_, err = tx.ExecContext(ctx, "DELETE FROM things_v1 WHERE id = $1", v.ID)
		return err
	}
	if known {
		_, err = tx.ExecContext(ctx, "UPDATE things_v1 SET owner = $1, amount = $2, folds = folds + 1 WHERE id = $3", v.Owner, v.Amount, v.ID)
	} else {
		_, err = tx.ExecContext(ctx, "INSERT INTO things_v1 (id, owner, amount, folds) VALUES ($1, $2, $3, 1)", v.ID, v.Owner, v.Amount)
	}
	return err
}

// sqlFollower is a model in tables with its running runner.
type sqlFollower struct {
	tables *projection.Tables
	runner *projection.Runner
}

// followSQL follows into db.
func (w *world) followSQL(t tb, db *sql.DB, f projection.SQLFold) sqlFollower {
	t.Helper()
	tables := projection.SQL(db, thingTables, f)
	runner := tables.Follow(eventstore.New(w.js, things, registry), quick())
	if err := runner.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	return sqlFollower{tables: tables, runner: runner}
}

// tryFollowSQL is followSQL for a database that may fail while the runner starts.
func (w *world) tryFollowSQL(t tb, db *sql.DB) (f sqlFollower, err error) {
	t.Helper()
	f.tables = projection.SQL(db, thingTables, foldSQL)
	f.runner = f.tables.Follow(eventstore.New(w.js, things, registry), quick())
	return f, f.runner.Start(t.Context())
}

func (f sqlFollower) stop(t tb) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := f.runner.Stop(ctx); err != nil {
		t.Fatalf("stop: %v", err)
	}
}

func (f sqlFollower) catchUp(t tb) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := f.runner.CaughtUp(ctx); err != nil {
		t.Fatalf("catch up: %v (health: %v)", err, f.runner.Health())
	}
}

// parked waits until the model is parked before it reaches sequence.
func (f sqlFollower) parked(t tb, sequence uint64) *projection.ParkedError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := f.tables.Wait(ctx, sequence)
	parked, ok := errors.AsType[*projection.ParkedError](err)
	if !ok {
		t.Fatalf("Wait: %v, want a ParkedError (health: %v)", err, f.runner.Health())
	}
	if health, ok := errors.AsType[*projection.ParkedError](f.runner.Health()); !ok || health.Sequence != parked.Sequence {
		t.Fatalf("Health: %v, want a ParkedError", f.runner.Health())
	}
	return parked
}

// openDB opens a file of read models that the test closes.
func openDB(t *testing.T, path string) *projection.SQLite {
	t.Helper()
	db, err := projection.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newDB(t *testing.T) *projection.SQLite {
	t.Helper()
	return openDB(t, filepath.Join(t.TempDir(), "models.db"))
}

// rows returns the table as the memory of a world has it.
func rows(t tb, db *sql.DB) memory {
	t.Helper()
	found, err := db.QueryContext(t.Context(), "SELECT id, owner, amount, folds FROM things_v1")
	if err != nil {
		t.Fatalf("read the table: %v", err)
	}
	defer func() { _ = found.Close() }()
	all := make(memory)
	for found.Next() {
		var v value
		if err := found.Scan(&v.ID, &v.Owner, &v.Amount, &v.Folds); err != nil {
			t.Fatalf("read the table: %v", err)
		}
		all.put(v)
	}
	if err := found.Err(); err != nil {
		t.Fatalf("read the table: %v", err)
	}
	return all
}

// compareSQL compares the table with what was written; a table needs no index keys.
func (w *world) compareSQL(t tb, db *sql.DB) {
	t.Helper()
	want := make(memory)
	w.mu.Lock()
	for key, text := range w.memory {
		if !strings.Contains(key, ".") {
			want[key] = text
		}
	}
	w.mu.Unlock()
	compare(t, rows(t, db), want)
}
