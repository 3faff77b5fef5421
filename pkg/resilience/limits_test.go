package resilience_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/resilience"
)

func TestBulkheadRefusesWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Bulkhead: resilience.Bulkhead{Limit: 2}})
		first, second := start(t.Context(), p), start(t.Context(), p)
		wantError(t, do(t, p, nil), resilience.ErrFull)
		wantError(t, first.finish(errNotFound), errNotFound)
		wantError(t, do(t, p, nil), nil)
		wantError(t, second.finish(nil), nil)
		if c := p.Snapshot().Counts; c.Full != 1 || c.Answered != 3 {
			t.Fatalf("the counts are %+v, want 3 answers and one that found it full", c)
		}
	})
}

func TestBulkheadLetsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Timeout: time.Minute, Bulkhead: resilience.Bulkhead{Limit: 1, Wait: time.Second}})
		first := start(t.Context(), p)
		begin := time.Now()
		wantError(t, do(t, p, nil), resilience.ErrFull)
		if took := time.Since(begin); took != time.Second {
			t.Fatalf("the call waited %v for a place, want 1 s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := start(ctx, p)
		cancel()
		wantError(t, <-gaveUp.result, context.Canceled)
		next := start(t.Context(), p)
		wantError(t, first.finish(nil), nil)
		wantError(t, next.finish(nil), nil)
		wantError(t, do(t, p, nil), nil)
	})
}

func TestRateLimitSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{RateLimit: resilience.RateLimit{PerSecond: 2, Burst: 3}})
		for range 3 {
			wantError(t, do(t, p, nil), nil)
		}
		for range 3 { // a refusal costs nothing
			err := do(t, p, nil)
			wantError(t, err, resilience.ErrLimited)
			if r, ok := errors.AsType[*resilience.RefusedError](err); !ok || r.RetryAfter != 500*time.Millisecond {
				t.Fatalf("the refusal is %+v, want one that ends in 0.5 s", r)
			}
		}
		pass(500 * time.Millisecond)
		wantError(t, do(t, p, nil), nil)
		wantError(t, do(t, p, nil), resilience.ErrLimited)
	})
}

// Many callers at once, with every outcome: changes come in an order that makes sense,
// no place and no permit is lost, nobody hangs.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var changes []resilience.Change
		p, err := resilience.New("user", resilience.Config{
			Timeout:  time.Second,
			Breaker:  resilience.Breaker{Failures: 3, Recovery: 20 * time.Millisecond, Probes: 2},
			Bulkhead: resilience.Bulkhead{Limit: 8, Wait: 5 * time.Millisecond},
		}, resilience.Hooks{Classify: classify, OnChange: func(c resilience.Change) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, c)
		}})
		wantError(t, err, nil)
		says := []error{nil, nil, nil, errDown, errDown, errGone, errNotFound, errBusy}
		var callers sync.WaitGroup
		for range 30 {
			callers.Go(func() {
				for range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
					_, _ = resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
						select {
						case <-ctx.Done():
							return 0, ctx.Err()
						case <-time.After(rand.N(15 * time.Millisecond)):
							return 0, says[rand.N(len(says))]
						}
					})
					cancel()
					pass(rand.N(5 * time.Millisecond))
				}
			})
		}
		callers.Wait()
		state := resilience.Closed
		for _, c := range changes {
			if c.From != state || c.From == c.To || c.Policy != "user" {
				t.Fatalf("a change from %v to %v follows %v", c.From, c.To, state)
			}
			state = c.To
		}
		if wantState(t, p, state); len(changes) < 10 {
			t.Fatalf("%d changes are too few to tell", len(changes))
		}
		for range 3 { // whatever the state is, two successful probes close it
			pass(20 * time.Millisecond)
			_ = do(t, p, nil)
		}
		wantState(t, p, resilience.Closed)
		var all []pending
		for range 8 {
			all = append(all, start(t.Context(), p))
		}
		for _, c := range all {
			wantError(t, c.finish(nil), nil)
		}
	})
}
