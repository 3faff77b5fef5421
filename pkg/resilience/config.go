package resilience

import (
	"math"
	"time"
)

// Config has the settings of one [Policy]. The zero value is a sound policy, and a field
// that is zero has its default.
type Config struct {
	Timeout   time.Duration `doc:"Of a call with its repeats, unless the caller has less time; 0s is 5s."`
	Retry     Retry
	Breaker   Breaker
	Bulkhead  Bulkhead
	RateLimit RateLimit
}

// Retry says when a call is repeated.
type Retry struct {
	// Attempts is with the first. Default 3; 1 repeats nothing.
	Attempts int `doc:"How often a call is tried at most, with the first time; 0 is 3."`
	// AttemptTimeout is of one attempt. Default: what is left of Timeout.
	AttemptTimeout time.Duration `doc:"Of one attempt; 0s is what is left of timeout."`
	// Backoff is the longest first pause, doubled for each further one. Default 20 ms.
	Backoff time.Duration `doc:"The longest pause before the first repeat, which doubles with each further one; 0s is 20ms."`
	// MaxBackoff is the longest pause. Default 1 s, or Backoff when that is longer.
	MaxBackoff time.Duration `doc:"The longest pause; 0s is 1s."`
	// Budget is repeats for each call, on the average. Default 0.1.
	Budget float64 `doc:"Repeats for each call, on the average over all calls; 0 is 0.1."`
	// Reserve is repeats beyond the budget. Default 10.
	Reserve int `doc:"Repeats beyond the budget; 0 is 10."`
}

// Breaker says when a target counts as down, and how it is tried again. It counts
// consecutive failures or, with a Window, the share of failures in it.
type Breaker struct {
	// Failures in a row open it, without a Window. Default 5; -1 is no breaker at all.
	Failures int `doc:"So many failures in a row open the breaker, unless there is a window; 0 is 5, -1 is no breaker at all."`
	// Window is the last part of time that is looked at. Default 0: consecutive failures.
	Window time.Duration `doc:"The last part of time, of which the share of failures opens the breaker; 0s counts failures in a row instead."`
	// Rate is the share of failures in Window that opens it, to the hundredth. Default 0.5.
	Rate float64 `doc:"The share of failures in the window that opens the breaker; 0 is 0.5."`
	// MinCalls is in Window before Rate means something. Default 20.
	MinCalls int `doc:"Fewer calls in the window open nothing; 0 is 20."`
	// Recovery is how long it stays open. Default 30 s.
	Recovery time.Duration `doc:"How long an open breaker refuses calls before it lets probes through; 0s is 30s."`
	// Probes are let through at once while half-open, and as many successes close it.
	// Default 1.
	Probes int `doc:"How many probes are let through at once, and how many successes close the breaker; 0 is 1."`
	// Patience is how long an attempt must have lasted for its time-out to prove something.
	// Default: a quarter of AttemptTimeout, or else of Timeout.
	Patience time.Duration `doc:"An attempt that times out earlier, since its caller had little time, proves nothing; 0s is a quarter of the time of an attempt."`
}

// Bulkhead bounds the calls that are under way at once.
type Bulkhead struct {
	// Limit is attempts under way. Default 0: no bound.
	Limit int `doc:"How many attempts may be under way at once; 0 is no bound."`
	// Wait is for a place. Default 0: refused at once.
	Wait time.Duration `doc:"How long a call waits for its place before it is refused."`
}

// RateLimit bounds the attempts per second.
type RateLimit struct {
	// PerSecond is on the average. Default 0: no bound.
	PerSecond float64 `doc:"How many attempts may begin in a second, on the average; 0 is no bound."`
	// Burst is how many may begin at once. Default PerSecond rounded up.
	Burst int `doc:"How many attempts may begin at once after a pause; 0 is per_second rounded up."`
}

// Over returns c with the fields of under where its own are zero.
func (c Config) Over(under Config) Config {
	or(&c.Timeout, under.Timeout)
	or(&c.Retry.Attempts, under.Retry.Attempts)
	or(&c.Retry.AttemptTimeout, under.Retry.AttemptTimeout)
	or(&c.Retry.Backoff, under.Retry.Backoff)
	or(&c.Retry.MaxBackoff, under.Retry.MaxBackoff)
	or(&c.Retry.Budget, under.Retry.Budget)
	or(&c.Retry.Reserve, under.Retry.Reserve)
	or(&c.Breaker.Failures, under.Breaker.Failures)
	or(&c.Breaker.Window, under.Breaker.Window)
	or(&c.Breaker.Rate, under.Breaker.Rate)
	or(&c.Breaker.MinCalls, under.Breaker.MinCalls)
	or(&c.Breaker.Recovery, under.Breaker.Recovery)
	or(&c.Breaker.Probes, under.Breaker.Probes)
	or(&c.Breaker.Patience, under.Breaker.Patience)
	or(&c.Bulkhead.Limit, under.Bulkhead.Limit)
	or(&c.Bulkhead.Wait, under.Bulkhead.Wait)
	or(&c.RateLimit.PerSecond, under.RateLimit.PerSecond)
	or(&c.RateLimit.Burst, under.RateLimit.Burst)
	return c
}

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
