package resilience

import (
	"context"
	"time"
)

// Do runs fn under p and returns its result. When p does not let it through, the
// error is a [*RefusedError], or the context's when that is over; fn may have run
// before, but then its own error is returned. fn is run again, one run after another,
// as p's configuration says. The context it gets ends when it returns, so its
// result must not depend on it.
func Do[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (T, error) {
	res, _, err := do(ctx, p, fn)
	return res, err
}

// DoOr is [Do] with an answer at hand: when the call was refused or failed, instead is
// asked with that error, and its result is the call's. It is not asked when the target
// answered, with whatever error, nor when the caller gave up. Its time is
// bounded by ctx alone.
func DoOr[T any](
	ctx context.Context, p *Policy, fn func(context.Context) (T, error), instead func(context.Context, error) (T, error),
) (T, error) {
	res, outcome, err := do(ctx, p, fn)
	if err == nil || outcome == Answered || ctx.Err() != nil {
		return res, err
	}
	return instead(ctx, err)
}

func do[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (T, Outcome, error) {
	ctx, cancel := bound(ctx, p.cfg.Timeout)
	defer cancel()
	p.budget.deposit()
	res, v, err := attempt(ctx, p, fn)
	for n := 1; p.repeats(v.Outcome, n) && p.pause(ctx, v.RetryAfter, n); n++ {
		again, verdict, errAgain := attempt(ctx, p, fn)
		if verdict.Outcome == refused {
			break // what the target said tells more
		}
		res, v, err = again, verdict, errAgain
	}
	return res, v.Outcome, err
}

// attempt runs fn once. Of a run that panics nothing is learned, and its pass is given
// back.
func attempt[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (res T, v Verdict, err error) {
	pass, err := p.admit(ctx)
	if err != nil {
		return res, Verdict{Outcome: refused}, err
	}
	v.Outcome = Ignored
	defer func() { p.settle(pass, v.Outcome, err) }()
	running, cancel := bound(ctx, p.cfg.Retry.AttemptTimeout)
	defer cancel()
	res, err = fn(running)
	v = p.judge(ctx, pass, err)
	return res, v, err
}

// bound returns ctx with a deadline in d, unless d is 0 or ctx ends earlier.
func bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return ctx, func() {}
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
