package projection_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/projection"
)

// A model that skips poison goes on without it and says so, also after a restart.
func TestSkippedEventsAreCounted(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	cfg := quick()
	cfg.Poison = projection.Skip
	bad := func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		switch data.(type) {
		case moved:
			tx.Put(e.Subject, value{ID: "must not be seen"})
			return errFold
		case removed:
			panic("fold")
		default:
			return fold(tx, e, data)
		}
	}
	f := followWith(t, w.js, cfg, bad)
	w.write(t, "a", added{"x", 1})
	w.write(t, "a", moved{"y"})
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	if v, err := f.view.Get(t.Context(), "a"); err != nil || v.Folds != 2 || v.Owner != "x" {
		t.Errorf("%+v, %v, want 2 folds", v, err)
	}
	f.stop(t)
	g := followWith(t, w.js, cfg, bad)
	defer g.stop(t)
	last := w.write(t, "a", removed{})
	g.catchUp(t)
	status, err := g.runner.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (projection.Skipped{Events: 2, Sequence: last, Type: "thing.removed", Reason: "panic in fold: fold"}); status.Skipped != want {
		t.Errorf("skipped %+v, want %+v", status.Skipped, want)
	}
	if err := g.runner.Health(); err != nil || status.State != projection.Following {
		t.Errorf("Health: %v, state %s", err, status.State)
	}
}

// The status tells how far a model is, how far behind, and where it stands still.
func TestStatus(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := followWith(t, w.js, quick(), func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		if _, ok := data.(moved); ok {
			return errFold
		}
		return fold(tx, e, data)
	})
	status := func() projection.Status {
		t.Helper()
		s, err := f.runner.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.write(t, "a", added{"x", 1})
	reached := w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	if s := status(); s.Name != bucketName || s.Stream != things.Name || s.State != projection.Following || s.Position != reached || s.Last != reached || s.Lag != (projection.Lag{}) {
		t.Errorf("up to date: %+v", s)
	}
	began := time.Now()
	w.write(t, "a", moved{"y"})
	last := w.write(t, "a", added{"x", 1})
	f.parked(t, last)
	s := status()
	if s.State != projection.Parked || s.Reason == "" || s.Position != reached || s.Last != last || s.Lag.Events != 2 {
		t.Errorf("parked: %+v", s)
	}
	if s.Lag.Waiting <= 0 || s.Lag.Waiting > time.Since(began)+time.Second {
		t.Errorf("the first waits for %s", s.Lag.Waiting)
	}
	f.stop(t)
	if s := status(); s.State != projection.Stopped {
		t.Errorf("stopped: %+v", s)
	}
}

// Whatever breaks while single values are written, a quiet model is exact: the value
// that was stored before its checkpoint is found by whoever comes next.
func TestCrashBetweenValueAndCheckpoint(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	for range 5 {
		w.write(t, "a", added{"x", 1})
		w.write(t, "b", added{"x", 1})
		cut := &cutter{cut: func(commit int64) (bool, bool) { return commit > 2, false }}
		f := follow(t, connectCut(t, srv, cut), quick())
		f.catchUp(t)
		for range 2 { // the first moves the checkpoint, the second is cut off it
			w.write(t, "a", added{"x", 1})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := f.view.Wait(ctx, w.last); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait: %v", err)
			}
			cancel()
		}
		f.stop(t)
		g := follow(t, w.js, quick())
		w.write(t, "b", added{"x", 1})
		g.catchUp(t)
		w.compare(t)
		g.stop(t)
	}
}
