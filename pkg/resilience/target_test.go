package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/resilience"
)

// What a target may say.
var (
	errDown     = errors.New("down")
	errGone     = errors.New("gone")
	errBusy     = errors.New("busy")
	errNotFound = errors.New("not found")
)

const busyFor = 300 * time.Millisecond

func classify(err error) resilience.Verdict {
	switch {
	case errors.Is(err, errGone):
		return resilience.Verdict{Outcome: resilience.NotTaken}
	case errors.Is(err, errBusy):
		return resilience.Verdict{Outcome: resilience.Busy, RetryAfter: busyFor}
	case errors.Is(err, errNotFound):
		return resilience.Verdict{Outcome: resilience.Answered}
	case errors.Is(err, context.DeadlineExceeded):
		return resilience.Verdict{Outcome: resilience.TimedOut}
	case errors.Is(err, context.Canceled):
		return resilience.Verdict{Outcome: resilience.Ignored}
	default:
		return resilience.Verdict{Outcome: resilience.Failed}
	}
}

func newPolicy(t testing.TB, cfg resilience.Config) *resilience.Policy {
	t.Helper()
	p, err := resilience.New("user", cfg, resilience.Hooks{Classify: classify})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// say returns a function that answers at once with err.
func say(err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return "ann", err }
}

// hang answers when its time is over.
func hang(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func do(t testing.TB, p *resilience.Policy, said error) error {
	t.Helper()
	_, err := resilience.Do(t.Context(), p, say(said))
	return err
}

func wantState(t testing.TB, p *resilience.Policy, want resilience.State) {
	t.Helper()
	if got := p.Snapshot().State; got != want {
		t.Fatalf("the breaker is %v, want %v", got, want)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

// pending is a call whose target has not answered yet.
type pending struct {
	answer chan error // what the target says
	result chan error // what the caller got
}

// start begins a call and returns when it waits for its target, or is over.
func start(ctx context.Context, p *resilience.Policy) pending {
	c := pending{answer: make(chan error, 1), result: make(chan error, 1)}
	go func() {
		_, err := resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
			select {
			case err := <-c.answer:
				return 1, err
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		c.result <- err
	}()
	synctest.Wait()
	return c
}

func (c pending) finish(said error) error {
	c.answer <- said
	return <-c.result
}

// pass lets d go by, on the clock of the bubble.
func pass(d time.Duration) { <-time.After(d) }

// once has no repeats and a breaker that two failures open.
func once() resilience.Config {
	return resilience.Config{
		Timeout: time.Minute,
		Retry:   resilience.Retry{Attempts: 1},
		Breaker: resilience.Breaker{Failures: 2, Recovery: 30 * time.Second, Patience: time.Second},
	}
}

// opened returns a policy whose breaker has just opened.
func opened(t testing.TB, cfg resilience.Config) *resilience.Policy {
	t.Helper()
	p := newPolicy(t, cfg)
	for range 2 {
		wantError(t, do(t, p, errDown), errDown)
	}
	wantState(t, p, resilience.Open)
	return p
}
