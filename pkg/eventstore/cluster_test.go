package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// TestReplicated does on three nodes what differs there: conflicts with writes in
// flight, replicas that lag, and leaders that step down.
func TestReplicated(t *testing.T) {
	t.Parallel()
	cluster := natstest.Cluster(t, 3)
	js := cluster.JetStream(t)
	config := eventstore.HistoryConfig(things)
	config.Replicas = 3
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	var stores []*eventstore.Store // one at each node, every other in groups
	for i, node := range cluster.Servers {
		stores = append(stores, eventstore.New(node.JetStream(t), things, types, eventstore.SyncAlways(i%2 == 1)))
	}

	t.Run("races", func(t *testing.T) { // 10071 and, while a write is in flight, 10164
		var tail eventstore.Tail
		for round := range 15 {
			var (
				wg   sync.WaitGroup
				mu   sync.Mutex
				wins []eventstore.Tail
			)
			for _, s := range stores {
				for range 3 {
					wg.Go(func() {
						won, err := s.Append(t.Context(), "raced", tail, build(t, "raced", named{Name: "x"}))
						mu.Lock()
						defer mu.Unlock()
						var conflict *eventstore.ConflictError
						switch {
						case err == nil:
							wins = append(wins, won)
						case !errors.As(err, &conflict) || len(conflict.Events) != 1:
							t.Errorf("round %d: %v", round, err)
						}
					})
				}
			}
			wg.Wait()
			if len(wins) != 1 {
				t.Fatalf("round %d: %d of 9 appends at the same tail succeeded", round, len(wins))
			}
			tail = wins[0]
		}
	})

	t.Run("stale replicas", func(t *testing.T) {
		for i := range 50 {
			id := fmt.Sprint("fresh", i)
			tail := mustAppend(t, stores[i%3], id, eventstore.Tail{}, made{Name: "one"})
			events, _, err := stores[(i+1)%3].Load(t.Context(), id) // "nothing" is the leader's word
			if err != nil || len(events) != 1 {
				t.Fatalf("after its first append %s has %d events, %v", id, len(events), err)
			}
			mustAppend(t, stores[i%3], id, tail, named{Name: "two"})
			events, _, err = stores[(i+2)%3].LoadLatest(t.Context(), id, eventstore.Tail{})
			if err != nil || len(events) != 2 {
				t.Fatalf("the leader says %s has %d events, %v", id, len(events), err)
			}
		}
	})

	t.Run("claims", func(t *testing.T) {
		for round := range 10 {
			claim := eventstore.Claim{Name: "name", Hash: fmt.Sprint("h", round)}
			var (
				wg     sync.WaitGroup
				mu     sync.Mutex
				holder []string
			)
			for i, s := range stores {
				wg.Go(func() {
					id := fmt.Sprintf("claimant%d-%d", round, i)
					_, err := s.Append(t.Context(), id, eventstore.Tail{}, build(t, id, made{Name: "x"}), claim)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						holder = append(holder, id)
					case !errors.Is(err, eventstore.ErrTaken):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if len(holder) != 1 {
				t.Errorf("%v hold one claim", holder)
			}
		}
	})

	t.Run("import", func(t *testing.T) {
		events, want := mixed(t, 1500, 20)
		if err := stores[0].Import(t.Context(), each(events), nil); err != nil {
			t.Fatal(err)
		}
		for id, history := range want {
			loaded, _, err := stores[1].LoadLatest(t.Context(), id, eventstore.Tail{})
			if got := names(loaded); err != nil || got != history {
				t.Fatalf("history of %s is %q, %v, want %q", id, got, err, history)
			}
		}
	})

	t.Run("step down", func(t *testing.T) {
		var (
			writers          []*writer
			writing, leading sync.WaitGroup
		)
		ctx, cancel := context.WithCancel(t.Context())
		leading.Go(func() {
			defer cancel()
			again := time.NewTicker(400 * time.Millisecond)
			defer again.Stop()
			for range 4 {
				<-again.C
				cluster.StepDown(t, things.Name)
			}
		})
		for i := range 12 {
			w := newWriter(stores[i%3], 100+i, 10)
			writers = append(writers, w)
			writing.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					w.write(t, n)
				}
			})
		}
		leading.Wait()
		writing.Wait()
		wantExactly(t, stores[0], writers)
	})
}
