package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/pkg/resilience"
)

// script is a target that says one thing after another, the last one for ever.
type script struct {
	says   []error
	asked  []time.Time
	answer time.Duration // how long it takes
}

func (s *script) ask(ctx context.Context) (int, error) {
	s.asked = append(s.asked, time.Now())
	if s.answer > 0 {
		pass(s.answer)
	}
	return len(s.asked), s.says[min(len(s.asked), len(s.says))-1]
}

func patient() resilience.Config {
	return resilience.Config{
		Timeout: 10 * time.Second,
		Retry:   resilience.Retry{Attempts: 4, Backoff: 100 * time.Millisecond, MaxBackoff: 150 * time.Millisecond},
		Breaker: resilience.Breaker{Failures: -1},
	}
}

func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		idempotent bool
		says       []error
		asked      int
		want       error
	}{
		{"a success", true, []error{nil}, 1, nil},
		{"a failure of what is idempotent", true, []error{errDown, errDown, nil}, 3, nil},
		{"a failure of what is not", false, []error{errDown, nil}, 1, errDown},
		{"what was not taken", false, []error{errGone, errGone, nil}, 3, nil},
		{"a busy target", false, []error{errBusy, nil}, 2, nil},
		{"an answer", true, []error{errNotFound, nil}, 1, errNotFound},
		{"nothing for ever", true, []error{errDown, errDown, errDown, errGone}, 4, errGone},
		{"not what failed after a repeat", false, []error{errGone, errDown, nil}, 2, errDown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPolicy(t, patient())
				if c.idempotent {
					p = p.Idempotent()
				}
				target := script{says: c.says}
				n, err := resilience.Do(t.Context(), p, target.ask)
				wantError(t, err, c.want)
				if n != c.asked || len(target.asked) != c.asked {
					t.Fatalf("the target was asked %d times and the result is of %d, want %d", len(target.asked), n, c.asked)
				}
				if got := p.Snapshot().Counts.Repeated; got != uint64(c.asked-1) {
					t.Fatalf("%d repeats were counted", got)
				}
			})
		})
	}
}

func TestPausesGrowAreBoundedAndDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := patient()
		cfg.Retry.Reserve = 1000
		p := newPolicy(t, cfg)
		longest := make([]time.Duration, 3)
		shortest := []time.Duration{time.Hour, time.Hour, time.Hour}
		for range 200 {
			target := script{says: []error{errGone}}
			_, err := resilience.Do(t.Context(), p, target.ask)
			wantError(t, err, errGone)
			for i := range longest {
				pause := target.asked[i+1].Sub(target.asked[i])
				longest[i], shortest[i] = max(longest[i], pause), min(shortest[i], pause)
			}
		}
		for i, bound := range []time.Duration{100 * time.Millisecond, 150 * time.Millisecond, 150 * time.Millisecond} {
			if longest[i] > bound || longest[i] < bound*8/10 || shortest[i] > bound*2/10 {
				t.Errorf("pauses before repeat %d were from %v to %v, want nearly 0 to %v", i+1, shortest[i], longest[i], bound)
			}
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := script{says: []error{errBusy, nil}}
		_, err := resilience.Do(t.Context(), newPolicy(t, patient()), target.ask)
		wantError(t, err, nil)
		if pause := target.asked[1].Sub(target.asked[0]); pause < busyFor {
			t.Fatalf("the target was asked again after %v and wanted %v", pause, busyFor)
		}
	})
}

// A repeat that cannot begin before the deadline is not waited for.
func TestNoRepeatBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ caller, policy time.Duration }{
		"the caller's": {busyFor, time.Hour}, "the policy's": {time.Hour, busyFor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := patient()
				cfg.Timeout = c.policy
				ctx, cancel := context.WithTimeout(t.Context(), c.caller)
				defer cancel()
				begin, target := time.Now(), script{says: []error{errBusy}}
				_, err := resilience.Do(ctx, newPolicy(t, cfg), target.ask)
				wantError(t, err, errBusy)
				if len(target.asked) != 1 || !time.Now().Equal(begin) {
					t.Fatalf("%d attempts in %v, want one and no wait", len(target.asked), time.Since(begin))
				}
			})
		})
	}
}

func TestACancelledPauseEndsTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		begin, target := time.Now(), script{says: []error{errBusy}}
		_, err := resilience.Do(ctx, newPolicy(t, patient()), target.ask)
		wantError(t, err, errBusy)
		if len(target.asked) != 1 || time.Since(begin) != time.Millisecond {
			t.Fatalf("%d attempts in %v, want one and the end at once", len(target.asked), time.Since(begin))
		}
	})
}

func TestAnAttemptThatHangsIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := patient()
		cfg.Retry.AttemptTimeout = time.Second
		p, asked := newPolicy(t, cfg).Idempotent(), 0
		got, err := resilience.Do(t.Context(), p, func(ctx context.Context) (string, error) {
			if asked++; asked < 3 {
				return hang(ctx)
			}
			return say(ctx.Err())(ctx)
		})
		wantError(t, err, nil)
		if got != "ann" || asked != 3 || p.Snapshot().Counts.Failed != 2 {
			t.Fatalf("got %q after %d attempts, counts %+v", got, asked, p.Snapshot().Counts)
		}
	})
}

func TestTheTimeoutBoundsAllAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin, target := time.Now(), script{says: []error{errDown}, answer: 4 * time.Second}
		_, err := resilience.Do(t.Context(), newPolicy(t, patient()).Idempotent(), func(ctx context.Context) (int, error) {
			if len(target.asked) == 2 {
				_, err := hang(ctx)
				return 0, err
			}
			return target.ask(ctx)
		})
		wantError(t, err, context.DeadlineExceeded)
		if took := time.Since(begin); took != 10*time.Second {
			t.Fatalf("the call took %v, want the policy's 10 s", took)
		}
	})
}

// Whatever the target does, repeats are at most a share of the calls and a reserve.
func TestRepeatsNeverMultiplyTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		noDeadline := struct{ rapid.TB }{t} // it would be one of the real clock
		rapid.Check(noDeadline, func(rt *rapid.T) {
			cfg := patient()
			cfg.Retry.Attempts = rapid.IntRange(2, 10).Draw(rt, "attempts")
			cfg.Retry.Budget = rapid.SampledFrom([]float64{0.05, 0.1, 0.5}).Draw(rt, "budget")
			cfg.Retry.Reserve = rapid.IntRange(1, 20).Draw(rt, "reserve")
			p, attempts := newPolicy(t, cfg).Idempotent(), 0
			calls := rapid.IntRange(1, 100).Draw(rt, "calls")
			fails := rapid.SliceOfN(rapid.Bool(), 1, 20).Draw(rt, "fails")
			for range calls {
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) {
					if attempts++; fails[attempts%len(fails)] {
						return 0, errDown
					}
					return 0, nil
				})
			}
			bound := float64(calls)*(1+cfg.Retry.Budget) + float64(cfg.Retry.Reserve)
			if float64(attempts) > bound+1e-6 {
				rt.Fatalf("%d attempts for %d calls, want at most %g", attempts, calls, bound)
			}
			c := p.Snapshot().Counts
			if int(c.Answered+c.Failed) != attempts || int(c.Repeated) != attempts-calls {
				rt.Fatalf("the counts are %+v of %d attempts for %d calls", c, attempts, calls)
			}
		})
	})
}

func TestTheBudgetComesBackWithCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := patient()
		cfg.Retry.Attempts, cfg.Retry.Budget, cfg.Retry.Reserve = 2, 0.25, 1
		p := newPolicy(t, cfg)
		attempts := 0
		ask := func(said error) {
			_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { attempts++; return 0, said })
		}
		ask(errGone) // spends the reserve
		ask(errGone)
		if attempts != 3 || p.Snapshot().Counts.Unpaid != 1 {
			t.Fatalf("%d attempts, counts %+v; want one repeat and one not paid for", attempts, p.Snapshot().Counts)
		}
		for range 3 {
			ask(nil)
		}
		if ask(errGone); attempts != 8 {
			t.Fatalf("%d attempts, want 8: four calls pay for a repeat", attempts)
		}
	})
}

// A long time of good health saves up no more than the reserve.
func TestTheBudgetIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := patient()
		cfg.Retry.Attempts, cfg.Retry.Reserve = 10, 3
		p := newPolicy(t, cfg)
		for range 100 {
			wantError(t, do(t, p, nil), nil)
		}
		wantError(t, do(t, p, errGone), errGone)
		if got := p.Snapshot().Counts.Repeated; got != 3 {
			t.Fatalf("%d repeats, want the reserve of 3", got)
		}
	})
}

func TestDoOr(t *testing.T) {
	t.Parallel()
	instead := func(_ context.Context, err error) (string, error) {
		if errors.Is(err, errGone) {
			return "", errors.Join(errNotFound, err)
		}
		return "replica", nil
	}
	for _, c := range []struct {
		name string
		said error
		want string
		err  error
	}{
		{"a success", nil, "ann", nil},
		{"an answer", errNotFound, "ann", errNotFound},
		{"a busy target", errBusy, "replica", nil},
		{"a failure", errDown, "replica", nil},
		{"a failure that has no answer instead", errGone, "", errNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got, err := resilience.DoOr(t.Context(), newPolicy(t, once()), say(c.said), instead)
				wantError(t, err, c.err)
				if got != c.want {
					t.Fatalf("got %q, want %q", got, c.want)
				}
			})
		})
	}
	t.Run("an open breaker", func(t *testing.T) {
		t.Parallel()
		got, err := resilience.DoOr(t.Context(), opened(t, once()), say(nil), instead)
		wantError(t, err, nil)
		if got != "replica" {
			t.Fatalf("got %q, want the answer of the replica", got)
		}
	})
	t.Run("a caller that gave up", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := resilience.DoOr(ctx, newPolicy(t, once()), say(nil), instead)
		wantError(t, err, context.Canceled)
	})
}
