package bus

import (
	"context"
	"time"
)

const (
	letterTimeout = 5 * time.Second
	termTimeout   = 2 * time.Second
)

// bury begins to store the dead letter of a message, which occupies no worker however
// long it takes. The lane waits for it.
func (c *Consumer) bury(ctx context.Context, l *lane, it *item, reason Reason, now time.Time) {
	letter := DeadLetter{
		Consumer: c.group.Name, Reason: reason, Error: it.lastError.Error(), Attempts: it.prior + it.failures,
		Stream: it.message.Stream, Sequence: it.sequence(), Subject: it.message.Subject,
		Header: it.message.Header, Data: it.message.Data, FirstAt: it.firstAt, LastAt: now, StoredAt: it.message.Time,
	}
	c.mu.Lock()
	c.errands++
	c.mu.Unlock()
	go func() {
		done := c.store(causedBy(ctx, it), it, letter)
		c.mu.Lock()
		defer c.mu.Unlock()
		if done {
			c.settle(l, it)
		} else {
			c.release(l, it)
		}
		c.errands--
		c.rest()
	}()
}

// store publishes the letter, however long that takes, and gives the message up. It
// returns false when the consumer stops before the letter is stored.
func (c *Consumer) store(ctx context.Context, it *item, letter DeadLetter) bool {
	ctx, span := c.settling(ctx, letter)
	defer span.End()
	for tries := 1; ; tries++ {
		err := c.publish(ctx, letter)
		if err == nil {
			err = c.erase(ctx, it)
		}
		if err == nil {
			break
		}
		c.cfg.Log.ErrorContext(ctx, "dead letter cannot be stored, will retry", "group", c.group.Name,
			"subject", letter.Subject, "sequence", letter.Sequence, "error", err)
		c.mu.Lock()
		it.failures, it.lastError = max(it.failures, stuckAfter), err
		c.mu.Unlock()
		timer := time.NewTimer(c.tuned.Load().backoff(tries))
		select {
		case <-timer.C:
		case <-c.stopping:
			timer.Stop()
			return false
		}
	}
	c.park(it)
	c.meters.buried(ctx, letter.Reason)
	c.cfg.Log.ErrorContext(ctx, "message became a dead letter", "group", c.group.Name, "subject", letter.Subject,
		"sequence", letter.Sequence, "attempts", letter.Attempts, "reason", string(letter.Reason), "error", letter.Error)
	c.terminate(ctx, it, letter.Reason)
	if it.suspect {
		c.clear(ctx, it)
	}
	return true
}

func (c *Consumer) publish(ctx context.Context, letter DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, letterTimeout)
	defer cancel()
	return c.giveUp(ctx, letter)
}

// terminate gives the message up and waits until the server knows, which an ordinary
// acknowledgement does not: after a restart nothing here remembers the message, so a
// lost answer would run the failing handler all over again. If the confirmation does
// not come, the letter is safe all the same, and a repeat has its id.
func (c *Consumer) terminate(ctx context.Context, it *item, reason Reason) {
	c.mu.Lock()
	d := it.delivery
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, termTimeout)
	defer cancel()
	if err := d.confirm(ctx, ackTerm+" "+string(reason)); err != nil {
		c.fail(err)
	}
}
