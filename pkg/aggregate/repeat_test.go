package aggregate_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

func keyed(ctx context.Context, command, fingerprint string) context.Context {
	return event.WithMetadata(ctx, event.Metadata{CorrelationID: "c", CausationID: command, Keyed: true, Fingerprint: fingerprint})
}

func TestARepeatChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(100))
	ctx := keyed(t.Context(), "command 1", "f")
	first, err := w.all.Do(ctx, aggregate.Command[counter]{ID: "a", Decide: count(2)})
	if err != nil || first.Repeated {
		t.Fatalf("%+v, %v", first, err)
	}
	w.do(t, "a", count(5))
	again, err := w.all.Do(ctx, aggregate.Command[counter]{ID: "a", Decide: func(counter) ([]event.Data, error) {
		return nil, errors.New("a repeat is not decided")
	}})
	if err != nil || !again.Repeated || len(again.Events) > 0 || again.State.Count != 2 || again.Version != 3 || again.Position != first.Position {
		t.Errorf("the repeat: %+v, %v; first %+v", again, err, first)
	}
	w.wantCount(t, "a", 7, 8)

	_, err = w.all.Do(keyed(t.Context(), "command 1", "another"), aggregate.Command[counter]{ID: "a", Decide: count(2)})
	if !errors.Is(err, aggregate.ErrKeyReused) || endpoint.CodeOf(err) != endpoint.CodeConflict {
		t.Errorf("another request under the key: %v", err)
	}
	if _, err := w.all.Do(keyed(t.Context(), "command 2", "f"), aggregate.Command[counter]{ID: "a", Decide: count(2)}); err != nil {
		t.Errorf("another key: %v", err)
	}
	w.wantCount(t, "a", 9, 10)

	// Without a key the same cause may decide twice.
	plain := event.WithMetadata(t.Context(), event.Metadata{CausationID: "command 1"})
	if _, err := w.all.Do(plain, aggregate.Command[counter]{ID: "a", Decide: count(1)}); err != nil {
		t.Error(err)
	}
	w.wantCount(t, "a", 10, 11)
}

// TestRepeatsAtTheSameTime: of many that carry one key, one is carried out, and all
// get its answer.
func TestRepeatsAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := keyed(t.Context(), "command 1", "f")
	id := event.MetadataFrom(ctx).NewID("counter")
	results := make([]aggregate.Result[counter], 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			var err error
			if results[i], err = w.all.Do(ctx, aggregate.Command[counter]{ID: id, Decide: open(5)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	done := 0
	for _, r := range results {
		if r.Version != 1 || r.State.Limit != 5 || r.Position != results[0].Position {
			t.Errorf("%+v", r)
		}
		if !r.Repeated {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d were carried out", done)
	}
}

func TestAnEventFromOutsideCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(t, "a", open(10))
	at := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
	origin := &event.Event{ID: "x-1", Source: "/cli", Time: at}
	first, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1), Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	if e := first.Events[0]; e.ID != "x-1" || e.Source != "/cli" || !e.Time.Equal(at) || e.Version != 2 {
		t.Errorf("it is kept as %+v", e)
	}
	w.do(t, "a", count(1))
	again, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1), Origin: origin})
	if err != nil || !again.Repeated || again.Version != 2 || again.State.Count != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	w.wantCount(t, "a", 2, 3)

	// The id is the source's own.
	other := &event.Event{ID: "x-1", Source: "/other"}
	if r, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1), Origin: other}); err != nil || r.Repeated {
		t.Errorf("of another source: %+v, %v", r, err)
	} else if age := time.Since(r.Events[0].Time); age < 0 || age > time.Minute {
		t.Errorf("an event without a time is %v old", age)
	}
	w.wantCount(t, "a", 3, 4)
	if _, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(2), Origin: &event.Event{ID: "x-2", Source: "/cli"}}); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("one event that leads to two: %v", err)
	}
}
