package aggregate_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// bad is data whose own method panics.
type bad struct{ counted }

func (*bad) Validate() error { panic("bad data") }

// superstitious folds like apply, and panics on 13.
func superstitious(c counter, e event.Event, data event.Data) counter {
	if d, ok := data.(counted); ok && d.By == 13 {
		panic("thirteen")
	}
	return apply(c, e, data)
}

func by(n int) func(counter) ([]event.Data, error) {
	return func(counter) ([]event.Data, error) { return []event.Data{counted{By: 1}, counted{By: n}}, nil }
}

// stored returns how many messages were ever stored in the stream of counters.
func (w *world) stored(t *testing.T) uint64 {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), counters.Name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// wantPanic wants err to say that rule panicked and to be internal outside.
func wantPanic(t *testing.T, err error, rule, value string) {
	t.Helper()
	var panicked *aggregate.PanicError
	if !errors.As(err, &panicked) || !errors.Is(err, aggregate.ErrPanicked) {
		t.Fatalf("a panic in %s leads to %v", rule, err)
	}
	if panicked.Rule != rule || !strings.Contains(fmt.Sprint(panicked.Value), value) {
		t.Errorf("panic in %s with %v, want %s with %s", panicked.Rule, panicked.Value, rule, value)
	}
	if !strings.Contains(panicked.Stack(), "panic_test.go") {
		t.Errorf("the stack does not lead to the rule: %s", panicked.Stack())
	}
	if code := endpoint.CodeOf(err); code != endpoint.CodeInternal {
		t.Errorf("outside the panic reads %s", code)
	}
}

// TestAPanickingRuleIsAnError: whatever a rule panics with, Do returns, nothing is
// stored, and the counter goes on.
func TestAPanickingRuleIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, rule, value string
		command           aggregate.Command[counter]
	}{
		{"decide", "decide", "oops", aggregate.Command[counter]{Decide: func(counter) ([]event.Data, error) { panic("oops") }}},
		{"decide with a coded error", "decide", "full", aggregate.Command[counter]{Decide: func(counter) ([]event.Data, error) { panic(errFull) }}},
		{"decide with a conflict", "decide", "expected", aggregate.Command[counter]{Decide: func(counter) ([]event.Data, error) { panic(&eventstore.ConflictError{}) }}},
		{"decide with a runtime error", "decide", "out of range", aggregate.Command[counter]{Decide: func(c counter) ([]event.Data, error) {
			return []event.Data{}[c.Count:][1:2:2], nil
		}}},
		{"no decide", "decide", "nil pointer", aggregate.Command[counter]{}},
		{"claims", "claims", "oops", aggregate.Command[counter]{Decide: by(1), ClaimsOn: func(counter) []eventstore.Claim { panic("oops") }}},
		{"data", "data", "bad data", aggregate.Command[counter]{Decide: func(counter) ([]event.Data, error) { return []event.Data{&bad{}}, nil }}},
		{"apply", "apply", "thirteen", aggregate.Command[counter]{Decide: by(13)}},
		{"apply, with a claim", "apply", "thirteen", aggregate.Command[counter]{Decide: by(13), Claims: []eventstore.Claim{{Name: "label", Hash: "h"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.all = aggregate.New(w.store, superstitious)
			ctx := keyed(t.Context(), "command 1", "f")
			w.do(t, "warm", open(100))
			w.do(t, "warm", count(1))
			other := &world{all: aggregate.New(w.store, superstitious)}
			other.do(t, "cold", open(100))
			other.do(t, "cold", count(1))
			before := w.stored(t)
			for _, id := range []string{"warm", "cold", "new"} {
				for _, create := range []bool{false, true} {
					command := c.command
					command.ID, command.Create = id, create
					_, err := w.all.Do(ctx, command)
					wantPanic(t, err, c.rule, c.value)
				}
			}
			if after := w.stored(t); after != before {
				t.Errorf("%d messages were stored", after-before)
			}
			for _, id := range []string{"warm", "cold"} {
				w.wantCount(t, id, 1, 2)
				result, err := w.all.Do(ctx, aggregate.Command[counter]{ID: id, Decide: count(2)})
				if err != nil || result.State.Count != 3 || result.Version != 4 || result.Repeated {
					t.Errorf("the next command, under the same key: %+v, %v", result, err)
				}
			}
			if result := w.do(t, "new", open(5)); result.Version != 1 {
				t.Errorf("the new counter is at version %d", result.Version)
			}
		})
	}
}

// TestHistoryThatApplyPanicsOn: another release has stored what this one cannot fold.
// Whoever meets it gets the error, and what was known before is not lost.
func TestHistoryThatApplyPanicsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fragile := aggregate.New(w.store, superstitious)
	w.do(t, "a", open(100))
	_, err := fragile.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: func(c counter) ([]event.Data, error) {
		if c.Count == 0 { // decided before the other release is done, and in conflict with it
			w.do(t, "a", by(13))
		}
		return count(1)(c)
	}})
	wantPanic(t, err, "apply", "thirteen")
	w.wantCount(t, "a", 14, 3)
	for range 2 {
		_, err = fragile.Get(t.Context(), "a")
		wantPanic(t, err, "apply", "thirteen")
	}
	_, err = fragile.GetVersion(t.Context(), "a", 3)
	wantPanic(t, err, "apply", "thirteen")
	if past, err := fragile.GetVersion(t.Context(), "a", 2); err != nil || past.State.Count != 1 {
		t.Errorf("before that it was %+v, %v", past, err)
	}
	if events, err := fragile.History(t.Context(), "a"); err != nil || len(events) != 3 {
		t.Errorf("the history has %d events, %v", len(events), err)
	}
	repaired := aggregate.New(w.store, apply)
	if result, err := repaired.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1)}); err != nil || result.State.Count != 15 {
		t.Errorf("a release that can fold it: %+v, %v", result, err)
	}
}

// touchy is a state that JSON cannot make from or of, which panics instead.
type touchy struct{ N int }

func (touchy) MarshalJSON() ([]byte, error) { panic("touchy state") }

func (*touchy) UnmarshalJSON([]byte) error { panic("touchy state") }

// notes receives log lines.
type notes chan string

func (n notes) Write(line []byte) (int, error) {
	n <- string(line)
	return len(line), nil
}

// TestAStateThatPanicsAsASnapshot: what runs in the background must not end the program.
func TestAStateThatPanicsAsASnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kv := w.bucket(t)
	log := make(notes, 10)
	all := aggregate.New(w.store, func(s touchy, _ event.Event, _ event.Data) touchy { return touchy{s.N + 1} })
	snapshots := all.Snapshots(snapshotBucket, aggregate.SnapshotConfig{Every: 2, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err := snapshots.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	two := func(touchy) ([]event.Data, error) { return []event.Data{opened{Limit: 9}, counted{By: 1}}, nil }
	if result, err := all.Do(t.Context(), aggregate.Command[touchy]{ID: "a", Decide: two}); err != nil || result.State.N != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	if line := <-log; !strings.Contains(line, "touchy state") {
		t.Errorf("the log says %s", line)
	}
	if _, err := kv.Put(t.Context(), "b", []byte(`{"state":{}}`)); err != nil {
		t.Fatal(err)
	}
	_, err := all.Get(t.Context(), "b")
	var panicked *aggregate.PanicError
	if !errors.As(err, &panicked) || panicked.Rule != "state" {
		t.Errorf("a snapshot that panics: %v", err)
	}
	if err := snapshots.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if result, err := all.Get(t.Context(), "a"); err != nil || result.State.N != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestUnreadableSnapshotsAreAnError: trouble with the bucket fails the load, and no more.
func TestUnreadableSnapshotsAreAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(9))
	all := w.snapshotting(t, aggregate.SnapshotConfig{})
	if err := w.js.DeleteKeyValue(t.Context(), snapshotBucket); err != nil {
		t.Fatal(err)
	}
	if _, err := all.Get(t.Context(), "a"); err == nil || endpoint.CodeOf(err) == endpoint.CodeNotFound {
		t.Errorf("a load without its bucket: %v", err)
	}
	w.bucket(t)
	wantState(t, all, "a", 0, 1)
}
