package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	infoTimeout  = 2 * time.Second
	recheckFirst = 20 * time.Millisecond
	recheckMost  = time.Second
	stuckAfter   = 3 // failures of one message
)

// supervise looks at the consumer whenever something may be missing: after trouble, a
// reconnect, a silence, and as long as the gate is shut.
func (c *Consumer) supervise(ctx context.Context) {
	status := c.js.Conn().StatusChanged(nats.CONNECTED)
	defer c.js.Conn().RemoveStatusListener(status)
	timer := time.NewTimer(recheckFirst)
	defer timer.Stop()
	wait := recheckFirst
	for {
		lost := false // requests that the server does not know any more
		select {
		case <-c.ended:
			return
		case <-status:
			lost = true
		case <-c.lapsed:
			wait = recheckFirst
		case <-timer.C:
			lost = c.pull.silent()
		}
		if lost {
			c.mu.Lock()
			c.setTrouble(errors.New("the consumer has gone silent"))
			c.mu.Unlock()
		}
		floor := c.gateFloor()
		switch well := c.examine(ctx); {
		case well:
			wait = pullHeartbeat
		case c.gateFloor() != floor: // what goes through the shut gate goes one by one
			wait = recheckFirst
		default:
			wait = min(2*wait, recheckMost)
		}
		timer.Reset(wait)
	}
}

// examine asks for the consumer's state if anything is unclear and reports whether
// all is well.
func (c *Consumer) examine(ctx context.Context) bool {
	c.mu.Lock()
	trouble, shut, closed := c.trouble, c.gate.shut, c.gate.closed
	c.mu.Unlock()
	if trouble == nil && !shut {
		err := c.keepPosition(ctx)
		if err != nil && ctx.Err() == nil {
			c.fail(err)
		}
		return err == nil
	}
	if shut {
		if err := c.loadParked(ctx); err != nil {
			c.mu.Lock()
			c.trouble = err
			c.mu.Unlock()
			return false
		}
	}
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := c.locate(ctx)
	c.mu.Lock()
	if errors.Is(err, ErrPosition) {
		c.forsake()
	} else if err == nil && trouble != nil && errors.Is(trouble, ErrPosition) && len(c.held) > 0 {
		err = trouble // handlers still work on messages of the stream that is gone
	}
	if err != nil {
		c.trouble = err
		c.mu.Unlock()
		return false
	}
	c.trouble = nil
	c.takeStock(info, closed)
	open, stopped := !c.gate.shut, c.stopped
	c.mu.Unlock()
	if trouble != nil && !stopped {
		c.pull.restart()
	}
	return open
}

// takeStock goes by info, which was looked up when the gate had been closed so often. If
// it has been closed since, info is of before that and says nothing of what is missing.
// The caller holds mu.
func (c *Consumer) takeStock(info *jetstream.ConsumerInfo, closed uint64) {
	late := c.gate.closed != closed
	if c.moved {
		c.moved, c.last = false, info.Delivered.Consumer
		c.gate.close()
	}
	closed = c.gate.closed
	c.admitLimbo()
	if !late && c.gate.closed == closed {
		c.assess(info)
	}
	if c.gate.shut && time.Since(c.shutFrom) > c.ackWait && c.pull.outranked() {
		c.handOver()
	}
}

func (c *Consumer) gateFloor() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gate.floor
}

// handOver gives what is in hand and not begun to the process that the server has pinned
// in place of this one. What is missing for longer than deliveries last is in living
// hands: the other process waits for this one as this one waits for it, and both keep
// what they have. The caller holds mu.
func (c *Consumer) handOver() {
	for _, it := range c.untouched() {
		if c.held[it.sequence()] != it {
			continue
		}
		if it.delivery.Nak() != nil {
			return // the connection is gone, and what is in hand with it
		}
		delete(c.held, it.sequence())
		if l, ok := c.lanes[c.key(it)]; ok {
			l.remove(it)
			if l.phase != busy {
				c.schedule(l)
			}
		}
	}
}

// keepAlive tells the server in time that what is held is in hand. What came in just
// now is left to the next turn, when at most half of its AckWait is over; most of it
// is settled by then.
func (c *Consumer) keepAlive() {
	every := c.ackWait / 3
	ticker := time.NewTicker(max(every, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-c.ended:
			return
		case now := <-ticker.C:
			for _, d := range c.heldFor(now.Add(-every / 2)) {
				if err := d.InProgress(); err != nil {
					c.fail(fmt.Errorf("extend deliveries: %w", err))
					break
				}
			}
		}
	}
}

// heldFor returns the deliveries that have been in hand since before then.
func (c *Consumer) heldFor(then time.Time) []*delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*delivery
	for _, it := range c.held {
		if it.received.Before(then) {
			list = append(list, it.delivery)
		}
	}
	return list
}

// Health returns nil, or what keeps messages from being handled now: the server or
// the consumer cannot be reached, the group's position is not of the stream
// ([ErrPosition]), a predecessor's messages are awaited for longer than they should
// take, or a message has failed several times and holds up its lane. Messages that
// were removed before the group got to them are told as long as the process runs.
func (c *Consumer) Health() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.started || c.stopped:
		return fmt.Errorf("group %s: not running", c.group.Name)
	case !c.js.Conn().IsConnected():
		return fmt.Errorf("group %s: not connected to NATS", c.group.Name)
	case c.trouble != nil:
		return fmt.Errorf("group %s: %w", c.group.Name, c.trouble)
	case c.gate.shut && len(c.held) > 0 && time.Since(c.shutFrom) > 2*c.ackWait: // with nothing in hand it is standing by
		return fmt.Errorf("group %s: waiting for %d messages that were delivered elsewhere", c.group.Name, max(c.gate.missing, 0))
	}
	if c.skipped != nil {
		return fmt.Errorf("group %s: %w", c.group.Name, c.skipped)
	}
	var worst *item
	stuck := 0
	for _, it := range c.held {
		if it.failures < stuckAfter {
			continue
		}
		stuck++
		if worst == nil || it.sequence() < worst.sequence() {
			worst = it
		}
	}
	if worst != nil {
		return fmt.Errorf("group %s: %d messages keep failing, the oldest is %s (sequence %d): %w",
			c.group.Name, stuck, worst.message.Subject, worst.sequence(), worst.lastError)
	}
	return c.redrivenHealth()
}
