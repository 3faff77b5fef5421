package resilience

import (
	"errors"
	"fmt"
	"time"
)

// Validate returns all that is wrong with c, each field with its name, or nil.
func (c Config) Validate() error {
	w := c.wrongFields()
	full := c.withDefaults()
	w.add(full.Retry.Backoff > full.Retry.MaxBackoff, "retry.backoff", "at most retry.max_backoff", full.Retry.Backoff)
	w.add(full.Breaker.Patience > full.attemptTimeout(), "breaker.patience", "at most the time of an attempt", full.Breaker.Patience)
	return errors.Join(w...)
}

// ValidateFields is [Config.Validate] for a part of the settings, whose other fields
// are elsewhere: it looks at each field by itself.
func (c Config) ValidateFields() error { return errors.Join(c.wrongFields()...) }

// wrongs collects what is wrong.
type wrongs []error

func (w *wrongs) add(bad bool, field, want string, got any) {
	if bad {
		*w = append(*w, fmt.Errorf("%s is %v and must be %s", field, got, want))
	}
}

func (c Config) wrongFields() wrongs {
	var w wrongs
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"timeout", c.Timeout},
		{"retry.attempt_timeout", c.Retry.AttemptTimeout},
		{"retry.backoff", c.Retry.Backoff},
		{"retry.max_backoff", c.Retry.MaxBackoff},
		{"breaker.window", c.Breaker.Window},
		{"breaker.recovery", c.Breaker.Recovery},
		{"breaker.patience", c.Breaker.Patience},
		{"bulkhead.wait", c.Bulkhead.Wait},
	} {
		w.add(d.value < 0 || d.value > maxDuration, d.field, "from 0s to "+maxDuration.String(), d.value)
	}
	w.add(c.Retry.Attempts < 0 || c.Retry.Attempts > maxAttempts, "retry.attempts", fmt.Sprintf("from 1 to %d", maxAttempts), c.Retry.Attempts)
	w.add(!(c.Retry.Budget >= 0 && c.Retry.Budget <= 1), "retry.budget", "from 0 to 1", c.Retry.Budget)
	w.add(outside(c.Retry.Reserve, 0), "retry.reserve", countRange(0), c.Retry.Reserve)
	w.add(outside(c.Breaker.Failures, -1), "breaker.failures", countRange(-1), c.Breaker.Failures)
	w.add(!(c.Breaker.Rate >= 0 && c.Breaker.Rate <= 1), "breaker.rate", "from 0 to 1", c.Breaker.Rate)
	w.add(c.Breaker.Rate > 0 && c.Breaker.Rate < 0.01, "breaker.rate", "a hundredth or more", c.Breaker.Rate)
	w.add(outside(c.Breaker.MinCalls, 0), "breaker.min_calls", countRange(0), c.Breaker.MinCalls)
	w.add(outside(c.Breaker.Probes, 0), "breaker.probes", countRange(0), c.Breaker.Probes)
	w.add(c.Breaker.Window > 0 && c.Breaker.Window < minWindow, "breaker.window", minWindow.String()+" or more", c.Breaker.Window)
	w.add(outside(c.Bulkhead.Limit, 0), "bulkhead.limit", countRange(0), c.Bulkhead.Limit)
	w.add(!(c.RateLimit.PerSecond >= 0 && c.RateLimit.PerSecond <= maxCount), "rate_limit.per_second", countRange(0), c.RateLimit.PerSecond)
	w.add(outside(c.RateLimit.Burst, 0), "rate_limit.burst", countRange(0), c.RateLimit.Burst)
	return w
}

const (
	maxAttempts = 10
	maxCount    = 1_000_000
	maxDuration = 24 * time.Hour
	minWindow   = 10 * time.Millisecond // its tenths are what is counted in
)

func outside(n, least int) bool { return n < least || n > maxCount }

func countRange(least int) string { return fmt.Sprintf("from %d to %d", least, maxCount) }
