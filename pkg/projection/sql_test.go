package projection_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// TestTableEqualsFold folds random histories with runners that stop at random.
func TestTableEqualsFold(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	db := newDB(t)
	made := false
	rapid.Check(t, func(r *rapid.T) {
		w.wipe(r)
		if made {
			for _, statement := range []string{"DROP TABLE things_v1", "DELETE FROM projection_checkpoints"} {
				if _, err := db.Writer().ExecContext(r.Context(), statement); err != nil {
					r.Fatal(err)
				}
			}
		}
		made = true
		var f sqlFollower
		running := false
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "id")
			switch rapid.IntRange(0, 6).Draw(r, "step") {
			case 0, 1, 2:
				w.write(r, id, added{Owner: "o-" + id, Amount: rapid.IntRange(-5, 5).Draw(r, "amount")})
			case 3:
				w.write(r, id, moved{Owner: "p-" + id})
			case 4:
				w.write(r, id, removed{})
			case 5:
				if running {
					f.stop(r)
				} else {
					f = w.followSQL(r, db.Writer(), foldSQL)
				}
				running = !running
			case 6:
				if running {
					f.catchUp(r)
					w.compareSQL(r, db.Reader())
				}
			}
		}
		if !running {
			f = w.followSQL(r, db.Writer(), foldSQL)
		}
		f.catchUp(r)
		f.stop(r)
		w.compareSQL(r, db.Reader())
	})
}

func TestSQLWaitsForWhatWasWritten(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	db := newDB(t)
	tables := projection.SQL(db.Writer(), thingTables, foldSQL)
	if err := tables.Wait(t.Context(), 1); !errors.Is(err, projection.ErrNotFollowed) {
		t.Errorf("before it is followed: %v", err)
	}
	f := w.followSQL(t, db.Writer(), foldSQL)
	defer f.stop(t)
	for i := range 50 {
		sequence := w.write(t, "a", added{Owner: "o", Amount: i})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := f.tables.Wait(ctx, sequence); err != nil {
			t.Fatal(err)
		}
		cancel()
		w.compareSQL(t, db.Reader())
	}
	if lag, err := f.runner.Lag(t.Context()); lag != 0 || err != nil || f.runner.Health() != nil {
		t.Errorf("lag %d, %v; health %v", lag, err, f.runner.Health())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	behind, ok := errors.AsType[*projection.BehindError](f.tables.Wait(ctx, w.last+1))
	if !ok || behind.Reached != w.last {
		t.Errorf("what nobody wrote: %v", behind)
	}
}

// TestSQLRunnersShareADatabase writes while four runners race for the tables and come
// and go.
func TestSQLRunnersShareADatabase(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	path := filepath.Join(t.TempDir(), "shared.db")
	var group errgroup.Group
	for n := range 4 {
		db := openDB(t, path)
		group.Go(func() error {
			for range 3 {
				f, err := w.tryFollowSQL(t, db.Writer())
				if err != nil {
					return err
				}
				for i := range 10 {
					sequence := w.write(t, fmt.Sprintf("id-%d", i%5), added{Owner: fmt.Sprint(n), Amount: i})
					if i%5 > 0 {
						continue
					}
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					err := f.tables.Wait(ctx, sequence)
					cancel()
					if err != nil {
						return err
					}
				}
				f.stop(t)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, path)
	f := w.followSQL(t, db.Writer(), foldSQL)
	defer f.stop(t)
	f.catchUp(t)
	w.compareSQL(t, db.Reader())
}

// TestSQLAnswersWhenItIsWhole holds that nobody takes half of the past for the whole.
func TestSQLAnswersWhenItIsWhole(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	for i := range 5 {
		w.write(t, "a", added{Owner: "o", Amount: i})
	}
	db := newDB(t)
	release := make(chan struct{})
	f := w.followSQL(t, db.Writer(), func(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error {
		<-release
		return foldSQL(ctx, tx, e, data)
	})
	defer f.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.tables.Await(ctx); endpoint.CodeOf(err) != endpoint.CodeUnavailable {
		t.Errorf("while it is being built: %v", err)
	}
	close(release)
	if err := f.tables.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.compareSQL(t, db.Reader())
}

// TestSQLTellsWhenItIsBuilt holds that the log says so, once.
func TestSQLTellsWhenItIsBuilt(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	for i := range 5 {
		w.write(t, "a", added{Owner: "o", Amount: i})
	}
	var log strings.Builder
	cfg := quick()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	db := newDB(t)
	for range 2 {
		tables := projection.SQL(db.Writer(), thingTables, foldSQL)
		f := sqlFollower{tables: tables, runner: tables.Follow(eventstore.New(w.js, things, registry), cfg)}
		if err := f.runner.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.catchUp(t)
		w.write(t, "a", added{Owner: "o", Amount: 1})
		f.catchUp(t)
		f.stop(t)
	}
	const line = `msg="read model is built" read_model=things_v1 stream=THINGS sequence=5 of=5`
	if strings.Count(log.String(), "built") != 1 || !strings.Contains(log.String(), line) {
		t.Errorf("the log says:\n%s", &log)
	}
}

func TestSQLCheckpointThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, w *world, db *sql.DB){
		"beyond the end": func(t *testing.T, _ *world, db *sql.DB) {
			t.Helper()
			execute(t, db, "UPDATE projection_checkpoints SET sequence = 1000")
		},
		"of another stream": func(t *testing.T, _ *world, db *sql.DB) {
			t.Helper()
			execute(t, db, "UPDATE projection_checkpoints SET stream = 'OTHERS'")
		},
		"no time": func(t *testing.T, _ *world, db *sql.DB) {
			t.Helper()
			execute(t, db, "UPDATE projection_checkpoints SET created = 'yesterday'")
		},
		"gone": func(t *testing.T, _ *world, db *sql.DB) {
			t.Helper()
			execute(t, db, "DELETE FROM projection_checkpoints")
		},
		"before the beginning": func(t *testing.T, w *world, _ *sql.DB) {
			t.Helper()
			w.write(t, "a", added{})
			w.write(t, "a", added{})
			s, err := w.js.Stream(t.Context(), things.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"of a stream that was made anew": func(t *testing.T, w *world, _ *sql.DB) {
			t.Helper()
			if err := w.js.DeleteStream(t.Context(), things.Name); err != nil {
				t.Fatal(err)
			}
			if _, err := w.js.CreateStream(t.Context(), eventstore.HistoryConfig(things)); err != nil {
				t.Fatal(err)
			}
			w.forget()
			for range 20 {
				w.write(t, "b", added{})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, w := start(t)
			db := newDB(t)
			for i := range 10 {
				w.write(t, "a", added{Owner: "o", Amount: i})
			}
			f := w.followSQL(t, db.Writer(), foldSQL)
			f.catchUp(t)
			f.stop(t)
			want := rows(t, db.Reader())
			spoil(t, w, db.Writer())
			f = w.followSQL(t, db.Writer(), foldSQL)
			defer f.stop(t)
			if parked := f.parked(t, 1<<40); !errors.Is(parked, projection.ErrCheckpoint) {
				t.Errorf("parked because of %v", parked)
			}
			compare(t, rows(t, db.Reader()), want)
		})
	}
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestSQLBeginsAfterWhatIsErased begins with a stream whose first messages are gone.
func TestSQLBeginsAfterWhatIsErased(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	w.write(t, "a", added{})
	w.wipe(t)
	db := newDB(t)
	for range 2 {
		f := w.followSQL(t, db.Writer(), foldSQL)
		f.catchUp(t)
		if err := f.runner.Health(); err != nil {
			t.Fatal(err)
		}
		f.stop(t)
	}
	w.write(t, "b", added{Owner: "o", Amount: 2})
	f := w.followSQL(t, db.Writer(), foldSQL)
	defer f.stop(t)
	f.catchUp(t)
	w.compareSQL(t, db.Reader())
}

// TestSQLPassesOverWhatIsNoEvent moves on over claims and foreign messages.
func TestSQLPassesOverWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	db := newDB(t)
	f := w.followSQL(t, db.Writer(), foldSQL)
	defer f.stop(t)
	w.write(t, "a", added{Owner: "o", Amount: 1})
	for _, subject := range []string{"thing.claim.name.x", "thing.added.a", "thing.unheard-of.a"} {
		if _, err := srv.JetStream(t).Publish(t.Context(), subject, []byte("{}"), jetstream.WithExpectStream(things.Name)); err != nil {
			t.Fatal(err)
		}
	}
	f.catchUp(t)
	w.compareSQL(t, db.Reader())
}

// TestSQLReadOnlyWatches holds that one who only watches hears of what another folds,
// and folds nothing.
func TestSQLReadOnlyWatches(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	path := filepath.Join(t.TempDir(), "shared.db")
	db := openDB(t, path)
	cfg := quick()
	cfg.ReadOnly, cfg.StandBy = true, time.Hour
	tables := projection.SQL(db.Writer(), thingTables, func(context.Context, *sql.Tx, event.Event, event.Data) error {
		t.Error("the watcher folds")
		return nil
	})
	watcher := sqlFollower{tables: tables, runner: tables.Follow(eventstore.New(w.js, things, registry), cfg)}
	if err := watcher.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer watcher.stop(t)
	f := w.followSQL(t, openDB(t, path).Writer(), foldSQL)
	defer f.stop(t)
	for i := range 3 {
		w.write(t, "a", added{Owner: "o", Amount: i})
		watcher.catchUp(t)
		w.compareSQL(t, db.Reader())
	}
}
