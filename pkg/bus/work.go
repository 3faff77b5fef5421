package bus

import (
	"context"
	"errors"
	"time"
)

// handle runs the handler on a message that take returned, and does what its result
// asks for. The caller holds mu, which is released meanwhile.
func (c *Consumer) handle(ctx context.Context, l *lane, it *item) {
	c.keepBack()
	d := it.delivery
	c.mu.Unlock()
	err := c.attempt(ctx, it, d)
	if err == nil {
		err = c.erase(ctx, it)
	}
	if err == nil && it.suspect {
		c.clear(ctx, it)
	}
	if err != nil {
		c.conclude(ctx, l, it, err)
		c.mu.Lock()
		return
	}
	c.mu.Lock()
	c.acknowledge(it.delivery)
	c.settle(l, it)
}

// conclude does what a failed attempt asks for: it is made again later, or the
// message becomes a dead letter.
func (c *Consumer) conclude(ctx context.Context, l *lane, it *item, err error) {
	if ctx.Err() != nil { // the attempt was cut short
		c.takeBack(ctx, it)
		c.mu.Lock()
		c.release(l, it)
		c.mu.Unlock()
		return
	}
	now := time.Now().UTC()
	if postponed, ok := errors.AsType[*postponeError](err); ok {
		c.retry(l, it, now.Add(c.tuned.Load().MaxBackoff), postponed)
		return
	}
	c.mu.Lock()
	it.lastError = err
	if it.firstAt.IsZero() {
		it.firstAt = now
	}
	reason, over := c.verdict(it, err)
	attempts, failures := it.prior+it.failures, it.failures
	c.mu.Unlock()
	if over {
		c.bury(ctx, l, it, reason, now)
		return
	}
	wait := c.tuned.Load().backoff(failures)
	if retry, ok := errors.AsType[*retryError](err); ok {
		wait = retry.after
	}
	c.meters.retried(ctx)
	c.cfg.Log.WarnContext(causedBy(ctx, it), "handler failed, will retry", "group", c.group.Name, "subject", it.message.Subject,
		"sequence", it.sequence(), "attempt", attempts, "wait", wait, "error", err)
	c.retry(l, it, now.Add(wait), nil)
}

// verdict counts a failure and tells whether it is the last one, and why. The caller
// holds mu.
func (c *Consumer) verdict(it *item, err error) (reason Reason, over bool) {
	if errors.Is(err, errExhausted) {
		return ReasonAttempts, true
	}
	drop, dropped := errors.AsType[*dropError](err)
	if dropped && drop.reason == ReasonParked {
		return ReasonParked, true
	}
	it.failures++
	if dropped {
		return drop.reason, true
	}
	return ReasonAttempts, it.prior+it.failures >= c.tuned.Load().MaxAttempts
}

// retry lets the message be tried again at the time given. trouble is what kept the
// attempt from beginning.
func (c *Consumer) retry(l *lane, it *item, at time.Time, trouble error) {
	c.mu.Lock()
	it.notBefore = at
	if trouble != nil {
		c.setTrouble(trouble)
	}
	c.release(l, it)
	c.mu.Unlock()
}

// takeBack corrects the record of an attempt at a suspect that this process itself
// cut short.
func (c *Consumer) takeBack(ctx context.Context, it *item) {
	if !it.suspect {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if err := c.recordAttempts(ctx, it, 0); err != nil {
		c.cfg.Log.WarnContext(ctx, "attempt not taken back", "group", c.group.Name, "sequence", it.sequence(), "error", err)
	}
}

// settle forgets a message that the server was told, or is about to be told, to
// forget. The caller holds mu.
func (c *Consumer) settle(l *lane, it *item) {
	l.remove(it)
	delete(c.held, it.sequence())
	c.settled.add(it.sequence())
	c.release(l, it)
}
