package resilience

import (
	"context"
	"math/rand/v2"
	"time"
)

// repeats says whether the outcome of attempt n may be followed by another attempt.
func (p *Policy) repeats(outcome Outcome, n int) bool {
	if n >= p.cfg.Retry.Attempts {
		return false
	}
	switch outcome {
	case NotTaken, Busy:
		return true
	case Failed:
		return p.idempotent
	default:
		return false
	}
}

// pause waits before the attempt after attempt n, and pays for it. It returns false
// when that attempt would come too late or the budget has run out.
func (p *Policy) pause(ctx context.Context, retryAfter time.Duration, n int) bool {
	wait := min(max(retryAfter, 0), maxDuration) + jitter(p.cfg.Retry, n)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	if !p.budget.take() {
		p.counts.unpaid.Add(1)
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		p.counts.repeated.Add(1)
		return true
	}
}

// jitter returns a random wait, up to the backoff doubled for each attempt after the
// first.
func jitter(cfg Retry, n int) time.Duration {
	longest := cfg.Backoff
	for range n - 1 {
		longest = min(2*longest, cfg.MaxBackoff)
	}
	return rand.N(longest + 1) //nolint:gosec // it spreads load and guards nothing
}
