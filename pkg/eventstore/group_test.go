package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// fate is what a writer was told about a decision.
type fate int

const (
	refused fate = iota
	accepted
	open
)

// decided is a decision and what became of it.
type decided struct {
	id      string
	version uint64 // of its last event, when it was accepted
	names   []string
	fate    fate
}

// writer appends to random aggregates, sometimes with a claim, sometimes with little
// time, and notes what it was told.
type writer struct {
	store      *eventstore.Store
	name       string
	aggregates int
	random     *rand.Rand
	tails      map[string]eventstore.Tail
	decisions  []decided
}

func newWriter(s *eventstore.Store, number, aggregates int) *writer {
	return &writer{
		store: s, name: fmt.Sprint("w", number), aggregates: aggregates,
		random: rand.New(rand.NewPCG(uint64(number), 7)),
		tails:  make(map[string]eventstore.Tail),
	}
}

func (w *writer) write(t *testing.T, number int) {
	t.Helper()
	d := decided{id: fmt.Sprint("g", w.random.IntN(w.aggregates))}
	var (
		data   []event.Data
		claims []eventstore.Claim
	)
	for i := range 1 + w.random.IntN(3) {
		name := fmt.Sprintf("%s.%d.%d", w.name, number, i)
		d.names, data = append(d.names, name), append(data, named{Name: name})
	}
	if w.random.IntN(8) == 0 {
		claims = append(claims, eventstore.Claim{Name: "name", Hash: fmt.Sprint("h", w.random.IntN(4))})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	if w.random.IntN(8) == 0 {
		ctx, cancel = context.WithTimeout(t.Context(), time.Duration(w.random.IntN(4000))*time.Microsecond)
	}
	defer cancel()
	tail, err := w.store.Append(ctx, d.id, w.tails[d.id], build(t, d.id, data...), claims...)
	var conflict *eventstore.ConflictError
	switch {
	case err == nil:
		d.fate, d.version, w.tails[d.id] = accepted, tail.Version, tail
	case errors.As(err, &conflict):
		w.tails[d.id] = conflict.Tail
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
		d.fate = open
	case !errors.Is(err, eventstore.ErrTaken) && !errors.Is(err, context.DeadlineExceeded): // a lost read is refused
		t.Errorf("append to %s: %v", d.id, err)
	}
	w.decisions = append(w.decisions, d)
}

// wantExactly compares all histories with what the writers were told: what was
// accepted is there once, whole, and where it was said to be; what was refused is not.
func wantExactly(t *testing.T, s *eventstore.Store, writers []*writer) {
	t.Helper()
	at := make(map[string]string)
	for e, err := range s.OfType(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		name := names([]eventstore.Recorded{e})
		if !strings.HasPrefix(name, "w") {
			continue // no writer's
		}
		if at[name] != "" {
			t.Errorf("%s is there twice", name)
		}
		at[name] = fmt.Sprint(e.Subject, "/", e.Version)
	}
	var count [3]int
	for _, w := range writers {
		for _, d := range w.decisions {
			count[d.fate]++
			there := 0
			for i, name := range d.names {
				if at[name] != "" {
					there++
				}
				if want := fmt.Sprint(d.id, "/", d.version-uint64(len(d.names)-1-i)); d.fate == accepted && at[name] != want {
					t.Errorf("%s is at %q, want %s", name, at[name], want)
				}
			}
			if there != 0 && (d.fate == refused || there != len(d.names)) {
				t.Errorf("of %v, fate %d, there are %d", d.names, d.fate, there)
			}
		}
	}
	t.Logf("%d decisions accepted, %d refused, %d of unknown outcome", count[accepted], count[refused], count[open])
	if count[accepted] == 0 {
		t.Error("nothing was accepted")
	}
}

// TestGroupsUnderTorture lets many writers race, with conflicts, claims, cancellations
// and cut connections.
func TestGroupsUnderTorture(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	observer := newStore(t, srv)
	proxy := srv.Proxy(t)
	ctx, cancel := context.WithCancel(t.Context())
	var cutting, writing sync.WaitGroup
	cutting.Go(func() {
		random := rand.New(rand.NewPCG(1, 2))
		cut := time.NewTicker(300 * time.Millisecond)
		defer cut.Stop()
		defer proxy.Cut()
		for range 6 {
			select {
			case <-cut.C:
				if random.IntN(2) == 0 {
					proxy.MuteAfter("Nats-Batch-Commit")
				} else {
					proxy.Cut()
				}
			case <-ctx.Done():
				return
			}
		}
	})
	var writers []*writer
	for range 2 {
		store := eventstore.New(natstest.JetStream(t, natstest.Dial(t, proxy.URL())), things, types, eventstore.SyncAlways(true))
		for range 16 {
			writers = append(writers, newWriter(store, len(writers), 24))
		}
	}
	for _, w := range writers {
		writing.Go(func() {
			for i := range 25 {
				w.write(t, i)
			}
		})
	}
	writing.Wait()
	cancel()
	cutting.Wait()
	wantExactly(t, observer, writers)
}

// TestGroupsKeepOneDecisionOfAnAggregate lets everybody append to one aggregate at the
// same tail: one wins.
func TestGroupsKeepOneDecisionOfAnAggregate(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	s := eventstore.New(srv.JetStream(t), things, types, eventstore.SyncAlways(true))
	var tail eventstore.Tail
	for round := range 20 {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			wins int
		)
		next := tail
		for range 8 {
			wg.Go(func() {
				won, err := s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "x"}))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					wins++
					next = won
				case !errors.Is(err, eventstore.ErrConflict):
					t.Error(err)
				}
			})
			wg.Go(func() { // a neighbour in the same group
				id := fmt.Sprintf("n%d-%d", round, rand.Uint64())
				if _, err := s.Append(t.Context(), id, eventstore.Tail{}, build(t, id, named{Name: "y"})); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins != 1 {
			t.Fatalf("%d of 8 appends at the same tail succeeded", wins)
		}
		tail = next
	}
	wantHistory(t, s, "a", strings.TrimSpace(strings.Repeat("x ", 20)))
}

// TestGroupsEndWithoutAServer wants every append of a group to end when its own time
// is up.
func TestGroupsEndWithoutAServer(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	s := eventstore.New(srv.JetStream(t), things, types, eventstore.SyncAlways(true))
	mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "x"})
	srv.Stop()
	var wg sync.WaitGroup
	start := time.Now()
	for i := range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*10*time.Millisecond)
			defer cancel()
			id := fmt.Sprint("b", i)
			if _, err := s.Append(ctx, id, eventstore.Tail{}, build(t, id, made{Name: "x"})); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
				t.Errorf("append without a server: %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
