package projection_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// failing is foldSQL that fails, half-way, while broken is set, on things called
// poison.
func failing(broken *atomic.Bool) projection.SQLFold {
	return func(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error {
		if err := foldSQL(ctx, tx, e, data); err != nil || e.Subject != "poison" || !broken.Load() {
			return err
		}
		if d, ok := data.(added); ok && d.Owner == "panic" {
			panic("as ordered")
		}
		return errors.New("as ordered")
	}
}

func TestSQLParksBeforePoison(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"error", "panic"} {
		t.Run(owner, func(t *testing.T) {
			t.Parallel()
			_, w := start(t)
			db := newDB(t)
			for i := range 20 {
				w.write(t, fmt.Sprint("id-", i%3), added{Owner: "o", Amount: i})
			}
			before := len(w.memory)
			poison := w.write(t, "poison", added{Owner: owner, Amount: 1})
			last := w.write(t, "id-1", added{Owner: "o", Amount: 100})
			var broken atomic.Bool
			broken.Store(true)
			f := w.followSQL(t, db.Writer(), failing(&broken))
			defer f.stop(t)
			parked := f.parked(t, last)
			if parked.Sequence != poison || parked.Type != "thing.added" || parked.Bucket != thingTables.Model || !strings.Contains(parked.Error(), "as ordered") {
				t.Errorf("parked: %+v", parked)
			}
			if err := f.tables.Wait(t.Context(), poison-1); err != nil {
				t.Errorf("what came before: %v", err)
			}
			if got := rows(t, db.Reader()); len(got) != before/2 || got["poison"] != "" {
				t.Errorf("the table has %v", got)
			}
			broken.Store(false)
			f.moves(t, last)
			w.compareSQL(t, db.Reader())
		})
	}
}

// moves waits until a model that was parked gets to sequence and its runner is well.
func (f sqlFollower) moves(t tb, sequence uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := errors.Join(f.tables.Wait(ctx, sequence), f.runner.Health())
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it does not move: %v", err)
		}
	}
}

// TestSQLSkipsPoison holds that nothing of a skipped event stays, that it is counted,
// and that the count outlives the process.
func TestSQLSkipsPoison(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	db := newDB(t)
	var broken atomic.Bool
	broken.Store(true)
	write := func() {
		w.write(t, "a", added{Owner: "o", Amount: 1})
		w.write(t, "poison", added{Owner: "panic", Amount: 1})
		delete(w.memory, "poison") // nobody folds it
		w.write(t, "a", added{Owner: "o", Amount: 1})
	}
	cfg := quick()
	cfg.Poison = projection.Skip
	for skipped := range 2 {
		write()
		tables := projection.SQL(db.Writer(), thingTables, failing(&broken))
		f := sqlFollower{tables: tables, runner: tables.Follow(eventstore.New(w.js, things, registry), cfg)}
		if err := f.runner.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.catchUp(t)
		f.stop(t)
		w.compareSQL(t, db.Reader())
		var record string
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT skipped FROM projection_checkpoints").Scan(&record); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`"events":%d,`, skipped+1); !strings.Contains(record, want) || !strings.Contains(record, "as ordered") {
			t.Errorf("the checkpoint says %s", record)
		}
	}
}

func TestSQLNewReleaseTakesOverFromAParkedOne(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	path := filepath.Join(t.TempDir(), "shared.db")
	var broken atomic.Bool
	broken.Store(true)
	last := w.write(t, "poison", added{Owner: "error"})
	old := w.followSQL(t, openDB(t, path).Writer(), failing(&broken))
	defer old.stop(t)
	old.parked(t, last)
	db := openDB(t, path)
	f := w.followSQL(t, db.Writer(), foldSQL)
	defer f.stop(t)
	f.catchUp(t)
	old.moves(t, last)
	w.compareSQL(t, db.Reader())
}
