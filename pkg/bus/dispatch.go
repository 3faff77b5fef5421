package bus

import (
	"context"
	"sync"
	"time"
)

// dispatcher brings lanes and workers together. Workers take messages by themselves,
// one after the other, so a busy consumer hands nothing over from goroutine to
// goroutine; another worker is woken only when there is more to take. Guarded by the
// consumer's mutex.
type dispatcher struct {
	lanes   map[string]*lane // those that hold anything
	spare   []*lane          // empty ones, for use again
	ready   queue            // lanes whose next message may be handled
	later   agenda           // lanes that wait for a backoff
	alarm   *time.Timer      // rings when the first of later is due
	pace    *pace
	suspect suspects

	work    *sync.Cond // there is something to take, or nothing any more
	workers int        // goroutines that take messages
	idle    int        // of these, how many wait for one
	waking  bool       // one of them has been woken, and has not looked yet
	errands int        // what else a stop waits for: acknowledgements and dead letters under way
}

// enqueue puts it into its lane. The caller holds mu.
func (c *Consumer) enqueue(it *item) {
	key := c.key(it)
	l, ok := c.lanes[key]
	if !ok {
		l = c.newLane(key)
	}
	l.insert(it)
	if l.phase != busy && l.phase != queued {
		c.schedule(l)
	}
}

func (c *Consumer) newLane(key string) *lane {
	var l *lane
	if n := len(c.spare); n > 0 {
		l, c.spare = c.spare[n-1], c.spare[:n-1]
		l.key = key
	} else {
		l = &lane{key: key}
	}
	c.lanes[key] = l
	return l
}

// spareLanes bounds how many empty lanes are kept for use again.
const spareLanes = 256

// schedule puts a lane that is not busy where it belongs now, and forgets it when it
// is empty. The caller holds mu.
func (c *Consumer) schedule(l *lane) {
	if l.phase == waiting {
		c.later.remove(l)
	}
	l.phase = resting
	if c.stopped {
		return
	}
	if len(l.queue) == 0 {
		delete(c.lanes, l.key)
		if len(c.spare) < spareLanes {
			c.spare = append(c.spare, l)
		}
		return
	}
	it, wait := l.next(c.group.Order)
	switch {
	case wait > 0:
		l.phase, l.due = waiting, time.Now().Add(wait)
		c.later.add(l)
		if c.later[0] == l {
			c.alarm.Reset(wait)
		}
	case !c.gate.admits(it.sequence()):
		l.phase = gated
	default:
		l.phase = queued
		c.ready.push(l)
		c.wake()
	}
}

// ring goes on with the lanes whose backoff is over.
func (c *Consumer) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for len(c.later) > 0 && !c.stopped {
		if wait := c.later[0].due.Sub(now); wait > 0 {
			c.alarm.Reset(wait)
			return
		}
		c.schedule(c.later[0])
	}
}

// regate looks again at what waits for the gate. The caller holds mu.
func (c *Consumer) regate() {
	for _, l := range c.lanes {
		if l.phase == gated {
			c.schedule(l)
		}
	}
}

// wake sees to it that a worker looks for work. The caller holds mu.
func (c *Consumer) wake() {
	switch {
	case c.waking || c.stopped || c.ready.empty():
	case c.idle > 0:
		c.waking = true
		c.work.Signal()
	case c.workers < c.tuned.Load().Concurrency:
		c.waking = true
		c.workers++
		c.spawn()
	}
}

// worker handles what is ready, one message after the other, until the consumer
// stops.
func (c *Consumer) worker(ctx context.Context) {
	c.mu.Lock()
	c.waking = false
	for !c.stopped && !c.surplus() {
		l, it := c.take()
		switch {
		case it != nil:
			c.wake()
			c.handle(ctx, l, it)
		case len(c.acks.replies) > 0:
			c.flushAcks()
		default:
			c.idle++
			c.work.Wait()
			c.idle--
			c.waking = false
		}
	}
	c.workers--
	if !c.stopped { // there were too many
		c.flushAcks()
		c.wake()
	}
	c.rest()
	c.mu.Unlock()
}

// take returns the message to be handled next and its lane, marked as busy, or nil.
// The caller holds mu.
func (c *Consumer) take() (*lane, *item) {
	for !c.ready.empty() {
		if !c.pace.allows() {
			return nil, nil
		}
		l := c.ready.pop()
		if l.phase != queued {
			continue // it has been emptied, and may be in use again
		}
		it, wait := l.next(c.group.Order)
		if wait > 0 || !c.gate.admits(it.sequence()) {
			c.schedule(l) // it has changed since it was queued
			continue
		}
		if it.suspect && !c.suspect.admits(l) {
			continue
		}
		c.pace.begun()
		l.phase, it.running = busy, true
		return l, it
	}
	return nil, nil
}

// release ends the work on a message that stays in hand. The caller holds mu.
func (c *Consumer) release(l *lane, it *item) {
	it.running = false
	if it.suspect {
		c.endSuspect()
	}
	c.schedule(l)
}

// rest announces that nothing of a stopped consumer is running any more. The caller
// holds mu.
func (c *Consumer) rest() {
	if c.stopped && c.workers == 0 && c.errands == 0 && !c.rested {
		c.rested = true
		close(c.over)
	}
}
