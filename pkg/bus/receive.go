package bus

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// receive takes what the server delivers, in the order of delivery.
func (c *Consumer) receive(msg *nats.Msg, now time.Time) {
	it := &item{message: Message{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}}
	at, err := readReceipt(msg.Reply)
	if err != nil {
		c.fail(err)
		return
	}
	it.delivery = &it.first
	it.first = delivery{nc: c.js.Conn(), msg: msg, receipt: at}
	it.message.Stream, it.message.Sequence, it.message.Time = at.stream, at.sequence, time.Unix(0, at.stored).UTC()
	it.half = c.tuned.Load().MaxAttempts / 2
	it.prior = min(int(min(at.delivered, 1<<20))-1, it.half)
	it.suspect = at.delivered > 1 && it.prior == it.half
	it.received = now
	c.mu.Lock()
	defer c.mu.Unlock()
	c.consumed++
	c.seen.pending, c.seen.delivered = at.pending, true
	if it.first.consumed <= c.last || len(c.limbo) > 0 {
		c.limbo = append(c.limbo, it)
		c.shut()
		return
	}
	c.admit(it)
}

// admitLimbo goes on with the deliveries that came when the consumer had begun to
// number them anew, after it is known why. The caller holds mu.
func (c *Consumer) admitLimbo() {
	list := c.limbo
	c.limbo = nil
	for i, it := range list {
		if i == 0 {
			c.last = it.first.consumed - 1
		}
		c.admit(it)
	}
}

// admit takes a delivery into the books: a message that was in hand before keeps its
// history. The caller holds mu.
func (c *Consumer) admit(it *item) {
	d, sequence := it.delivery, it.sequence()
	if d.consumed != c.last+1 && c.group.Order != Any {
		c.shut()
	}
	c.last = d.consumed
	c.latest = max(c.latest, sequence)
	if known, ok := c.held[sequence]; ok {
		known.delivery = d
		return
	}
	c.gate.received(sequence)
	if c.settled.has(sequence) {
		c.acknowledge(d)
		if !c.acks.armed {
			c.acks.armed = true
			c.acks.linger.Reset(ackLinger)
		}
		return
	}
	c.held[sequence] = it
	if !c.stopped {
		c.enqueue(it)
	}
}

// key returns the lane of a message. Where order does not matter, each has its own.
func (c *Consumer) key(it *item) string {
	if c.group.Order == Any {
		return it.delivery.msg.Reply
	}
	return c.cfg.Key(it.message)
}

// assess looks what the server has pending that is not in hand. The caller holds mu.
func (c *Consumer) assess(info *jetstream.ConsumerInfo) {
	if c.group.Order == Any {
		c.gate.open()
		return
	}
	c.gate.assess(info, c.held)
}

// shut closes the gate and asks supervise to find out what is missing. The caller
// holds mu.
func (c *Consumer) shut() {
	if !c.gate.shut {
		c.shutFrom = time.Now()
	}
	c.gate.close()
	c.nudge()
}

func (c *Consumer) nudge() {
	select {
	case c.lapsed <- struct{}{}:
	default:
	}
}

// fail notes why messages stopped coming and asks supervise to look after it.
func (c *Consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setTrouble(err)
}

func (c *Consumer) setTrouble(err error) {
	c.trouble = err
	c.nudge()
}
