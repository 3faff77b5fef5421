package resilience

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Config has the settings of one [Policy]. The zero value is a sound policy.
type Config struct {
	Timeout   time.Duration // of a call with its repeats; default 5 s. An earlier deadline of the context counts
	Retry     Retry
	Breaker   Breaker
	Bulkhead  Bulkhead
	RateLimit RateLimit
}

// Retry says when a call is repeated.
type Retry struct {
	Attempts       int           // with the first; default 3; 1 repeats nothing
	AttemptTimeout time.Duration // of one attempt; default: what is left of Timeout
	Backoff        time.Duration // the longest first pause, doubled for each further one; default 20 ms
	MaxBackoff     time.Duration // the longest pause; default 1 s
	Budget         float64       // repeats for each call, on the average; default 0.1
	Reserve        int           // repeats beyond the budget; default 10
}

// Breaker says when a target counts as down, and how it is tried again. It counts
// consecutive failures or, with a Window, the share of failures in it.
type Breaker struct {
	Failures int           // in a row that open it, without a Window; default 5; -1 is no breaker at all
	Window   time.Duration // the last part of time that is looked at; default 0: consecutive failures
	Rate     float64       // share of failures in Window that opens it, to the hundredth; default 0.5
	MinCalls int           // in Window before Rate means something; default 20
	Recovery time.Duration // open for so long; default 30 s
	Probes   int           // at once while half-open, and successes that close it; default 1
	Patience time.Duration // an attempt that timed out earlier proves nothing; default a quarter of AttemptTimeout or else Timeout
}

// Bulkhead bounds the calls that are under way at once.
type Bulkhead struct {
	Limit int           // attempts under way; default 0: no bound
	Wait  time.Duration // for a place; default 0: refused at once
}

// RateLimit bounds the attempts per second.
type RateLimit struct {
	PerSecond float64 // on the average; default 0: no bound
	Burst     int     // at once; default PerSecond rounded up
}

// Validate returns all that is wrong with c, each field with its name, or nil.
func (c Config) Validate() error {
	var errs []error
	wrong := func(bad bool, field, want string, got any) {
		if bad {
			errs = append(errs, fmt.Errorf("%s is %v and must be %s", field, got, want))
		}
	}
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
		wrong(d.value < 0 || d.value > maxDuration, d.field, "from 0s to "+maxDuration.String(), d.value)
	}
	full := c.withDefaults()
	wrong(c.Retry.Attempts < 0 || c.Retry.Attempts > maxAttempts, "retry.attempts", fmt.Sprintf("from 1 to %d", maxAttempts), c.Retry.Attempts)
	wrong(!(c.Retry.Budget >= 0 && c.Retry.Budget <= 1), "retry.budget", "from 0 to 1", c.Retry.Budget)
	wrong(outside(c.Retry.Reserve, 0), "retry.reserve", countRange(0), c.Retry.Reserve)
	wrong(full.Retry.Backoff > full.Retry.MaxBackoff, "retry.backoff", "at most retry.max_backoff", full.Retry.Backoff)
	wrong(outside(c.Breaker.Failures, -1), "breaker.failures", countRange(-1), c.Breaker.Failures)
	wrong(!(c.Breaker.Rate >= 0 && c.Breaker.Rate <= 1), "breaker.rate", "from 0 to 1", c.Breaker.Rate)
	wrong(c.Breaker.Rate > 0 && c.Breaker.Rate < 0.01, "breaker.rate", "a hundredth or more", c.Breaker.Rate)
	wrong(outside(c.Breaker.MinCalls, 0), "breaker.min_calls", countRange(0), c.Breaker.MinCalls)
	wrong(outside(c.Breaker.Probes, 0), "breaker.probes", countRange(0), c.Breaker.Probes)
	wrong(c.Breaker.Window > 0 && c.Breaker.Window < minWindow, "breaker.window", minWindow.String()+" or more", c.Breaker.Window)
	wrong(full.Breaker.Patience > full.attemptTimeout(), "breaker.patience", "at most the time of an attempt", full.Breaker.Patience)
	wrong(outside(c.Bulkhead.Limit, 0), "bulkhead.limit", countRange(0), c.Bulkhead.Limit)
	wrong(!(c.RateLimit.PerSecond >= 0 && c.RateLimit.PerSecond <= maxCount), "rate_limit.per_second", countRange(0), c.RateLimit.PerSecond)
	wrong(outside(c.RateLimit.Burst, 0), "rate_limit.burst", countRange(0), c.RateLimit.Burst)
	return errors.Join(errs...)
}

const (
	maxAttempts = 10
	maxCount    = 1_000_000
	maxDuration = 24 * time.Hour
	minWindow   = 10 * time.Millisecond // its tenths are what is counted in
)

func outside(n, least int) bool { return n < least || n > maxCount }

func countRange(least int) string { return fmt.Sprintf("from %d to %d", least, maxCount) }

func (c Config) withDefaults() Config {
	or(&c.Timeout, 5*time.Second)
	or(&c.Retry.Attempts, 3)
	or(&c.Retry.Backoff, 20*time.Millisecond)
	or(&c.Retry.MaxBackoff, max(time.Second, c.Retry.Backoff))
	or(&c.Retry.Budget, 0.1)
	or(&c.Retry.Reserve, 10)
	or(&c.Breaker.Failures, 5)
	or(&c.Breaker.Rate, 0.5)
	or(&c.Breaker.MinCalls, 20)
	or(&c.Breaker.Recovery, 30*time.Second)
	or(&c.Breaker.Probes, 1)
	or(&c.Breaker.Patience, c.attemptTimeout()/4)
	or(&c.RateLimit.Burst, int(math.Ceil(c.RateLimit.PerSecond)))
	return c
}

// attemptTimeout is the longest that one attempt may take.
func (c Config) attemptTimeout() time.Duration {
	if c.Retry.AttemptTimeout > 0 {
		return min(c.Retry.AttemptTimeout, c.Timeout)
	}
	return c.Timeout
}

func or[T comparable](field *T, fallback T) {
	var zero T
	if *field == zero {
		*field = fallback
	}
}
