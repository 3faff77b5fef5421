package bus

import (
	"math/rand/v2"
	"time"
)

// Group is one durable consumer and how its handlers are retried. Groups are
// declared beside the stream's configuration; the consumer itself is created from
// there, and [Consumer.Start] only checks it.
type Group struct {
	Stream string // the stream that is read
	Name   string // the durable consumer; it names the dead letters too

	// MaxAttempts is how often a message is tried before it becomes a dead letter.
	// Deliveries to a predecessor count, but for no more than half of the attempts,
	// since they tell only that the message was in its hands. Default 8.
	MaxAttempts int
	// MinBackoff is the wait after the first failed attempt; it doubles with each
	// further one, and a random quarter of it is taken off. Default 100 ms.
	MinBackoff time.Duration
	// MaxBackoff bounds the wait. Default 30 s.
	MaxBackoff time.Duration
	// Concurrency is how many handlers run at once. Default 16.
	Concurrency int
}

func (g Group) withDefaults() Group {
	if g.MaxAttempts <= 0 {
		g.MaxAttempts = 8
	}
	if g.MinBackoff <= 0 {
		g.MinBackoff = 100 * time.Millisecond
	}
	if g.MaxBackoff <= 0 {
		g.MaxBackoff = 30 * time.Second
	}
	if g.Concurrency <= 0 {
		g.Concurrency = 16
	}
	return g
}

// backoff returns the wait after the given number of failures in a row, from 1.
func (g Group) backoff(failures int) time.Duration {
	wait := g.MaxBackoff
	if doublings := failures - 1; doublings < 30 {
		wait = min(g.MaxBackoff, g.MinBackoff<<doublings)
	}
	if wait <= 0 {
		wait = g.MaxBackoff
	}
	return wait - time.Duration(rand.Int64N(int64(wait)/4+1)) //nolint:gosec // G404: jitter needs no secrecy
}
