package resilience_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/resilience"
)

func TestBreakerOpensRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := opened(t, once())
		pass(10 * time.Second)
		err := do(t, p, nil)
		wantError(t, err, resilience.ErrOpen)
		if r, ok := errors.AsType[*resilience.RefusedError](err); !ok || r.RetryAfter != 20*time.Second || r.Policy != "user" {
			t.Fatalf("the refusal is %+v, want one of user that ends in 20 s", r)
		}
		pass(20 * time.Second)
		wantState(t, p, resilience.Open)
		wantError(t, do(t, p, nil), nil)
		wantState(t, p, resilience.Closed)
	})
}

func TestASuccessBreaksTheRow(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, once())
	for _, said := range []error{errDown, nil, errDown, errNotFound, errDown, errBusy, errDown} {
		wantError(t, do(t, p, said), said)
	}
	wantState(t, p, resilience.Closed)
}

func TestProbesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := once()
		cfg.Breaker.Probes = 2
		p := opened(t, cfg)
		pass(30 * time.Second)
		first, second := start(t.Context(), p), start(t.Context(), p)
		for range 10 {
			wantError(t, do(t, p, nil), resilience.ErrOpen)
		}
		wantError(t, first.finish(nil), nil)
		wantState(t, p, resilience.HalfOpen)
		third := start(t.Context(), p)
		wantError(t, do(t, p, nil), resilience.ErrOpen)
		wantError(t, second.finish(nil), nil)
		wantState(t, p, resilience.Closed)
		wantError(t, third.finish(nil), nil)
	})
}

// A breaker that holds its lock while it notes the failure, or while it tells of the
// change, never comes back from here.
func TestAFailingProbeOpensAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p *resilience.Policy
		var seen []resilience.State
		p, err := resilience.New("user", once(), resilience.Hooks{OnChange: func(c resilience.Change) {
			seen = append(seen, c.To, p.Snapshot().State)
			if c.To == resilience.Open {
				wantError(t, do(t, p, nil), resilience.ErrOpen)
			}
		}})
		wantError(t, err, nil)
		for range 2 {
			wantError(t, do(t, p, errDown), errDown)
		}
		pass(30 * time.Second)
		wantError(t, do(t, p, errDown), errDown)
		wantState(t, p, resilience.Open)
		pass(29 * time.Second)
		wantError(t, do(t, p, nil), resilience.ErrOpen)
		pass(time.Second)
		wantError(t, do(t, p, nil), nil)
		if len(seen) != 10 {
			t.Fatalf("the changes were %v, want 5 with the state at the time", seen)
		}
	})
}

// Who observes may bring about the next change, and is told of it afterwards.
func TestChangesAreToldOneAfterAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p *resilience.Policy
		var told []string
		p, err := resilience.New("user", once(), resilience.Hooks{OnChange: func(c resilience.Change) {
			told = append(told, c.To.String())
			if c.To == resilience.Open {
				pass(30 * time.Second)
				wantError(t, do(t, p, nil), nil)
				wantState(t, p, resilience.Closed)
			}
			told = append(told, "told")
		}})
		wantError(t, err, nil)
		for range 2 {
			wantError(t, do(t, p, errDown), errDown)
		}
		if got := strings.Join(told, " "); got != "open told half-open told closed told" {
			t.Fatalf("the observer saw: %s", got)
		}
	})
}

func TestALateResultCountsForNothing(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]error{"success": nil, "failure": errDown} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPolicy(t, once())
				var early []pending
				for range 5 {
					early = append(early, start(t.Context(), p))
				}
				for range 2 {
					wantError(t, do(t, p, errDown), errDown)
				}
				wantError(t, early[0].finish(late), late)
				wantState(t, p, resilience.Open)

				pass(30 * time.Second)
				probe := start(t.Context(), p)
				for _, c := range early[1:3] {
					wantError(t, c.finish(late), late)
				}
				wantState(t, p, resilience.HalfOpen)
				wantError(t, do(t, p, nil), resilience.ErrOpen) // no place came free

				wantError(t, probe.finish(nil), nil)
				for _, c := range early[3:] {
					wantError(t, c.finish(late), late)
				}
				wantState(t, p, resilience.Closed)
			})
		})
	}
}

func TestTheCallersMistakesDoNotCount(t *testing.T) {
	t.Parallel()
	for name, mistake := range map[string]func(ctx context.Context, p *resilience.Policy) error{
		"asks for what is not there": func(ctx context.Context, p *resilience.Policy) error {
			_, err := resilience.Do(ctx, p, say(errNotFound))
			return err
		},
		"gives up": func(ctx context.Context, p *resilience.Policy) error {
			ctx, cancel := context.WithCancel(ctx)
			c := start(ctx, p)
			cancel()
			return <-c.result
		},
		"gives up as the target fails": func(ctx context.Context, p *resilience.Policy) error {
			ctx, cancel := context.WithCancel(ctx)
			_, err := resilience.Do(ctx, p, func(context.Context) (int, error) { cancel(); return 0, errDown })
			return err
		},
		"had given up before": func(ctx context.Context, p *resilience.Policy) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, err := resilience.Do(ctx, p, say(errDown))
			return err
		},
		"gives hardly any time": func(ctx context.Context, p *resilience.Policy) error {
			ctx, cancel := context.WithTimeout(ctx, 999*time.Millisecond)
			defer cancel()
			_, err := resilience.Do(ctx, p, hang)
			return err
		},
		"panics": func(ctx context.Context, p *resilience.Policy) (err error) {
			defer func() { err, _ = recover().(error) }()
			_, err = resilience.Do(ctx, p, func(context.Context) (int, error) { panic(errDown) })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := once()
				cfg.Bulkhead.Limit = 3
				p := newPolicy(t, cfg)
				for range 10 {
					if mistake(t.Context(), p) == nil {
						t.Fatal("the caller did not get its error")
					}
				}
				wantState(t, p, resilience.Closed)
				if n := p.Snapshot().Counts.Failed; n != 0 {
					t.Fatalf("%d failures were counted", n)
				}
			})
		})
	}
}

func TestATargetThatHangsCounts(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]time.Duration{"the policy's time": time.Hour, "the caller's time": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPolicy(t, once())
				for range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), given)
					_, err := resilience.Do(ctx, p, hang)
					cancel()
					wantError(t, err, context.DeadlineExceeded)
				}
				wantState(t, p, resilience.Open)
			})
		})
	}
}

func TestTheCallThatOpensItKeepsItsError(t *testing.T) {
	t.Parallel()
	var change resilience.Change
	p, err := resilience.New("user", once(), resilience.Hooks{OnChange: func(c resilience.Change) { change = c }})
	wantError(t, err, nil)
	wantError(t, do(t, p, errDown), errDown)
	wantError(t, do(t, p, errGone), errGone)
	if change.Policy != "user" || change.From != resilience.Closed || change.To != resilience.Open || change.At.IsZero() {
		t.Fatalf("the change is %+v", change)
	}
	wantError(t, change.Cause, errGone)
}

// Also with repeats: that the breaker opened meanwhile is not what the caller asked.
func TestACallThatOpensItBetweenRepeatsKeepsItsError(t *testing.T) {
	t.Parallel()
	cfg := once()
	cfg.Retry.Attempts = 5
	p := newPolicy(t, cfg).Idempotent()
	wantError(t, do(t, p, errDown), errDown)
	if c := p.Snapshot().Counts; c.Failed != 2 || c.Open != 1 {
		t.Fatalf("the counts are %+v, want 2 failures and a refusal", c)
	}
}

func TestAProbeThatLearnsNothingGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := once()
		cfg.RateLimit = resilience.RateLimit{PerSecond: 0.001, Burst: 5}
		p := opened(t, cfg)
		pass(30 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := start(ctx, p)
		wantError(t, do(t, p, nil), resilience.ErrOpen)
		cancel()
		wantError(t, <-cancelled.result, context.Canceled)
		wantState(t, p, resilience.HalfOpen)

		func() {
			defer func() { _ = recover() }()
			_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { panic("probe") })
		}()
		last := start(t.Context(), p)
		wantError(t, do(t, p, nil), resilience.ErrOpen)
		wantError(t, last.finish(errDown), errDown)
		pass(30 * time.Second)
		wantError(t, do(t, p, nil), resilience.ErrLimited) // passes the breaker and stops behind it
		wantState(t, p, resilience.HalfOpen)
		pass(1000 * time.Second)
		wantError(t, do(t, p, nil), nil)
		wantState(t, p, resilience.Closed)
	})
}

func TestAWindowOpensByShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := once()
		cfg.Breaker = resilience.Breaker{Window: 10 * time.Second, Rate: 0.5, MinCalls: 4, Recovery: time.Minute}
		p := newPolicy(t, cfg)
		for _, said := range []error{errDown, errDown, errDown} {
			wantError(t, do(t, p, said), said)
		}
		wantState(t, p, resilience.Closed) // too few to tell
		pass(11 * time.Second)
		for _, said := range []error{nil, errDown, nil, nil, errDown} {
			wantError(t, do(t, p, said), said)
		}
		wantState(t, p, resilience.Closed)
		wantError(t, do(t, p, errDown), errDown)
		wantState(t, p, resilience.Open)
	})
}

func TestWithoutABreaker(t *testing.T) {
	t.Parallel()
	cfg := once()
	cfg.Breaker.Failures = -1
	p := newPolicy(t, cfg)
	for range 100 {
		wantError(t, do(t, p, errDown), errDown)
	}
	wantState(t, p, resilience.Closed)
}
