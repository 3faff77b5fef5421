package bus

import "time"

// ackBurst and ackLinger bound how many acknowledgements are kept back, and for how
// long, so that they leave in bursts: one write to the connection carries many.
const (
	ackBurst  = 64
	ackLinger = time.Millisecond
)

// acks are acknowledgements that are about to be sent. They leave at once when there
// is nothing else to do. Guarded by the consumer's mutex.
type acks struct {
	replies []string
	spare   []string
	linger  *time.Timer // sends what is kept back while all workers are busy
	armed   bool
}

// acknowledge sends the acknowledgement of d soon. It is not confirmed, which would
// cost a round trip for each message: if it gets lost, the message comes again and
// [recent] knows it. The caller holds mu.
func (c *Consumer) acknowledge(d *delivery) {
	c.acks.replies = append(c.acks.replies, d.msg.Reply)
}

// keepBack decides, before a handler begins that may take long, what becomes of the
// acknowledgements. The caller holds mu, which is released while they are sent.
func (c *Consumer) keepBack() {
	switch {
	case len(c.acks.replies) >= ackBurst:
		c.flushAcks()
	case len(c.acks.replies) > 0 && !c.acks.armed:
		c.acks.armed = true
		c.acks.linger.Reset(ackLinger)
	}
}

// flushAcks sends what is kept back. The caller holds mu, which is released meanwhile.
func (c *Consumer) flushAcks() {
	replies := c.acks.replies
	if len(replies) == 0 {
		return
	}
	c.acks.replies, c.acks.spare = c.acks.spare[:0], nil
	if c.acks.armed {
		c.acks.armed = false
		c.acks.linger.Stop()
	}
	c.errands++
	c.mu.Unlock()
	var err error
	ok := []byte("+ACK")
	for _, reply := range replies {
		if err = c.js.Conn().Publish(reply, ok); err != nil {
			break // the messages come again
		}
	}
	clear(replies)
	c.mu.Lock()
	c.errands--
	c.acks.spare = replies[:0]
	if err != nil {
		c.setTrouble(err)
	}
}

// lingered sends the acknowledgements that have been kept back for long enough.
func (c *Consumer) lingered() {
	c.mu.Lock()
	c.acks.armed = false
	c.flushAcks()
	c.rest()
	c.mu.Unlock()
}
