package bus

import (
	"context"
	"errors"
	"time"
)

const (
	letterTimeout = 5 * time.Second
	termTimeout   = 2 * time.Second
)

// work handles what a lane holds, one message after the other, until it is empty or
// the consumer stops.
func (c *Consumer) work(ctx context.Context, l *lane) {
	for it := c.next(l); it != nil; it = c.next(l) {
		err := c.attempt(ctx, it)
		<-c.slots
		c.conclude(ctx, l, it, err)
	}
}

// next waits until the first message of the lane may be handled and returns it with
// a slot taken, or nil when the lane is over.
func (c *Consumer) next(l *lane) *item {
	slot := false
	for {
		it, wait, changed := c.ready(l, slot)
		if it != nil && slot || it == nil && wait == 0 && changed == nil {
			return it
		}
		if slot {
			<-c.slots
			slot = false
		}
		switch {
		case it != nil:
			select {
			case c.slots <- struct{}{}:
				slot = true
			case <-c.stopping:
			}
		case changed != nil:
			select {
			case <-changed:
			case <-c.stopping:
			}
		default:
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-c.stopping:
				timer.Stop()
			}
		}
	}
}

// ready looks at the first message of the lane. It returns the message when it may be
// handled, marked as running if a slot is there; else how long its backoff lasts or
// what will change when the gate does; and nothing at all when the lane is over, which
// it then ends.
func (c *Consumer) ready(l *lane, slot bool) (it *item, wait time.Duration, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || len(l.queue) == 0 {
		delete(c.lanes, l.key)
		if slot {
			<-c.slots
		}
		c.rest()
		return nil, 0, nil
	}
	first := l.queue[0]
	if wait := time.Until(first.notBefore); wait > 0 {
		return nil, wait, nil
	}
	if !c.gate.admits(first.sequence()) {
		return nil, 0, c.gate.changed
	}
	first.running = slot
	return first, 0, nil
}

// rest announces that a stopped consumer has no lane left. The caller holds mu.
func (c *Consumer) rest() {
	if c.stopped && len(c.lanes) == 0 {
		close(c.idle)
	}
}

// conclude does what the handler's result asks for.
func (c *Consumer) conclude(ctx context.Context, l *lane, it *item, err error) {
	if err == nil {
		err = c.erase(ctx, it)
	}
	switch {
	case err == nil:
		c.settle(l, it, true)
		return
	case ctx.Err() != nil: // the attempt was cut short
		c.release(it)
		return
	}
	c.mu.Lock()
	it.failures++
	it.lastError = err
	now := time.Now().UTC()
	if it.firstAt.IsZero() {
		it.firstAt = now
	}
	attempts, failures := it.prior+it.failures, it.failures
	c.mu.Unlock()
	if drop, ok := errors.AsType[*dropError](err); ok {
		c.bury(ctx, l, it, drop.reason, now, attempts)
		return
	}
	if attempts >= c.group.MaxAttempts {
		c.bury(ctx, l, it, ReasonAttempts, now, attempts)
		return
	}
	wait := c.group.backoff(failures)
	if retry, ok := errors.AsType[*retryError](err); ok {
		wait = retry.after
	}
	c.cfg.Log.WarnContext(causedBy(ctx, it), "handler failed, will retry", "group", c.group.Name, "subject", it.message.Subject,
		"sequence", it.sequence(), "attempt", attempts, "wait", wait, "error", err)
	c.mu.Lock()
	it.notBefore, it.running = now.Add(wait), false
	c.mu.Unlock()
}

func (c *Consumer) release(it *item) {
	c.mu.Lock()
	it.running = false
	c.mu.Unlock()
}

// settle forgets a message that is done with and acknowledges it, unless the server
// knows already. The acknowledgement is not confirmed, which would cost a round trip
// for each message: if it gets lost, the message comes again and [recent] knows it.
func (c *Consumer) settle(l *lane, it *item, acknowledge bool) {
	c.mu.Lock()
	d := it.delivery
	l.remove(it)
	delete(c.held, it.sequence())
	c.settled.add(it.sequence())
	c.mu.Unlock()
	if !acknowledge {
		return
	}
	if err := d.Ack(); err != nil {
		c.fail(err)
	}
}

// bury stores the dead letter of a message, however long that takes, and then gives
// the message up.
func (c *Consumer) bury(ctx context.Context, l *lane, it *item, reason Reason, now time.Time, attempts int) {
	ctx = causedBy(ctx, it)
	letter := DeadLetter{
		Consumer: c.group.Name, Reason: reason, Error: it.lastError.Error(), Attempts: attempts,
		Stream: it.message.Stream, Sequence: it.sequence(), Subject: it.message.Subject,
		Header: it.message.Header, Data: it.message.Data, FirstAt: it.firstAt, LastAt: now,
	}
	for tries := 1; ; tries++ {
		err := c.publish(ctx, letter)
		if err == nil {
			err = c.erase(ctx, it)
		}
		if err == nil {
			break
		}
		c.cfg.Log.ErrorContext(ctx, "dead letter cannot be stored, will retry", "group", c.group.Name,
			"subject", it.message.Subject, "sequence", it.sequence(), "error", err)
		c.mu.Lock()
		it.failures, it.lastError = max(it.failures, stuckAfter), err
		c.mu.Unlock()
		timer := time.NewTimer(c.group.backoff(tries))
		select {
		case <-timer.C:
		case <-c.stopping:
			timer.Stop()
			c.release(it)
			return
		}
	}
	c.cfg.Log.ErrorContext(ctx, "message became a dead letter", "group", c.group.Name, "subject", it.message.Subject,
		"sequence", it.sequence(), "attempts", attempts, "reason", string(reason), "error", letter.Error)
	c.terminate(ctx, it, reason)
	c.settle(l, it, false)
}

func (c *Consumer) publish(ctx context.Context, letter DeadLetter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letterTimeout)
	defer cancel()
	return PublishDeadLetter(ctx, c.js, letter)
}

// terminate gives the message up and waits until the server knows, which an ordinary
// acknowledgement does not: after a restart nothing here remembers the message, so a
// lost answer would run the failing handler all over again. If the confirmation does
// not come, the letter is safe all the same, and a repeat has its id.
func (c *Consumer) terminate(ctx context.Context, it *item, reason Reason) {
	c.mu.Lock()
	d := it.delivery
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), termTimeout)
	defer cancel()
	if err := d.confirm(ctx, ackTerm+" "+string(reason)); err != nil {
		c.fail(err)
	}
}
