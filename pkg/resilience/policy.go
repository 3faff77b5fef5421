package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Hooks are what policies ask and tell. All are optional; they must be safe for
// concurrent use.
type Hooks struct {
	// Classify says what an error of an attempt means. It is not asked about nil, nor
	// when the caller's context was cancelled. Default: every error is Failed, but an
	// expired context TimedOut and a cancelled one Ignored.
	Classify func(error) Verdict
	// OnChange is told of every change of a breaker's state, those of one breaker one
	// after another and in their order. A call is held up by it, so it should be quick. It may
	// use the policy.
	OnChange func(Change)
}

// Policy guards the calls of one target. It is safe for concurrent use.
type Policy struct {
	*core
	idempotent bool
	twin       *Policy // the same with idempotent set
}

// core is what a policy and its idempotent twin share.
type core struct {
	name     string
	cfg      Config // with its defaults
	classify func(error) Verdict

	breaker *breaker            // nil: none
	places  *semaphore.Weighted // nil: no bound
	tokens  *rate.Limiter       // nil: no bound
	budget  *budget
	counts  *counters
}

// New returns a policy under a name that errors, changes and snapshots show. The
// error names all that is wrong with cfg.
func New(name string, cfg Config, hooks Hooks) (*Policy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("policy %q: %w", name, err)
	}
	return newPolicy(name, cfg, hooks), nil
}

// newPolicy needs a cfg that is valid.
func newPolicy(name string, cfg Config, hooks Hooks) *Policy {
	c := &core{name: name, cfg: cfg.withDefaults(), classify: hooks.Classify, counts: new(counters)}
	if c.classify == nil {
		c.classify = classifyPlain
	}
	c.budget = newBudget(c.cfg.Retry)
	if c.cfg.Breaker.Failures > 0 {
		c.breaker = newBreaker(c.cfg.Breaker, func(change Change) {
			if hooks.OnChange != nil {
				change.Policy = name
				hooks.OnChange(change)
			}
		})
	}
	if limit := c.cfg.Bulkhead.Limit; limit > 0 {
		c.places = semaphore.NewWeighted(int64(limit))
	}
	if limit := c.cfg.RateLimit; limit.PerSecond > 0 {
		c.tokens = rate.NewLimiter(rate.Limit(limit.PerSecond), limit.Burst)
	}
	twin := &Policy{core: c, idempotent: true}
	twin.twin = twin
	return &Policy{core: c, twin: twin}
}

// Name returns the name the policy was made with.
func (p *Policy) Name() string { return p.name }

// Idempotent returns the same policy, with the same state, for calls that do no harm
// when they are carried out twice.
func (p *Policy) Idempotent() *Policy { return p.twin }

// pass is the permission for one attempt.
type pass struct {
	generation uint64
	start      time.Time
}

// admit returns a pass, which must be settled, or says why the target is not asked.
func (c *core) admit(ctx context.Context) (pass, error) {
	if err := ctx.Err(); err != nil {
		return pass{}, fmt.Errorf("calls of %s: %w", c.name, err)
	}
	if err := c.enter(ctx); err != nil {
		return pass{}, err
	}
	p := pass{start: time.Now()}
	if c.breaker != nil {
		generation, retryAfter, ok := c.breaker.acquire()
		if !ok {
			c.leave()
			c.counts.open.Add(1)
			return pass{}, &RefusedError{Policy: c.name, Reason: ErrOpen, RetryAfter: retryAfter}
		}
		p.generation = generation
	}
	if c.tokens != nil && !c.tokens.AllowN(p.start, 1) {
		c.giveBack(p, Ignored, nil)
		c.counts.limited.Add(1)
		return pass{}, &RefusedError{Policy: c.name, Reason: ErrLimited, RetryAfter: c.nextToken(p.start)}
	}
	return p, nil
}

// enter takes a place in the bulkhead.
func (c *core) enter(ctx context.Context) error {
	if c.places == nil || c.places.TryAcquire(1) {
		return nil
	}
	if c.cfg.Bulkhead.Wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, c.cfg.Bulkhead.Wait)
		defer cancel()
		if c.places.Acquire(waiting, 1) == nil {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("calls of %s: wait for a place: %w", c.name, err)
	}
	c.counts.full.Add(1)
	return &RefusedError{Policy: c.name, Reason: ErrFull}
}

func (c *core) leave() {
	if c.places != nil {
		c.places.Release(1)
	}
}

// nextToken returns how long it takes until there is a token.
func (c *core) nextToken(now time.Time) time.Duration {
	next := c.tokens.ReserveN(now, 1)
	defer next.CancelAt(now)
	return next.DelayFrom(now)
}

// judge says what an attempt was.
func (c *core) judge(ctx context.Context, p pass, err error) Verdict {
	switch {
	case err == nil:
		return Verdict{Outcome: Answered}
	case errors.Is(ctx.Err(), context.Canceled):
		return Verdict{Outcome: Ignored}
	}
	v := c.classify(err)
	if v.Outcome == TimedOut {
		v.Outcome = Failed
		if time.Since(p.start) < c.cfg.Breaker.Patience {
			v.Outcome = Ignored
		}
	}
	return v
}

// settle ends an attempt.
func (c *core) settle(p pass, outcome Outcome, err error) {
	c.counts.attempt(outcome)
	c.giveBack(p, outcome, err)
}

func (c *core) giveBack(p pass, outcome Outcome, err error) {
	c.leave()
	if c.breaker != nil {
		c.breaker.settle(p.generation, outcome, err)
	}
}
