package bus

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Group is one durable consumer and how its handlers are retried. Groups are
// declared beside the stream's configuration; the consumer itself is created from
// there, and [Consumer.Start] checks it.
type Group struct {
	Stream string // the stream that is read
	Name   string // the durable consumer; it names the dead letters too

	// Redrive lets the group's dead letters be redriven (see [Letterbox]): they come
	// back through a second durable consumer, [RedriveConsumer], to the same handlers,
	// alone and out of the order of their lanes. Leave it off for a guard, which
	// deletes what it gives up.
	Redrive bool

	// Order says what waits for what when a handler fails, and whether order matters at
	// all. Default [Hold].
	Order Order
	// MaxAttempts is how often a message is tried before it becomes a dead letter.
	// Deliveries to a predecessor count, but for no more than half of the attempts,
	// since they tell only that the message was in its hands; attempts after that are
	// recorded before they begin, so that a message that ends the process each time
	// becomes a dead letter too. Default 8.
	MaxAttempts int
	// MinBackoff is the wait after the first failed attempt; it doubles with each
	// further one, and a random quarter of it is taken off. Default 100 ms.
	MinBackoff time.Duration
	// MaxBackoff bounds the wait. Default 30 s.
	MaxBackoff time.Duration
	// Concurrency is how many handlers run at once in one process. Default 16.
	Concurrency int
	// Rate is how many attempts may begin in a second, in one process. Default: as many
	// as can.
	Rate float64
	// Burst is how many attempts may begin at once after a pause, where Rate is set.
	// Default 1.
	Burst int
	// Timeout ends the context of an attempt that takes longer; what the handler
	// returns then decides as always. Default: an attempt may take as long as it needs.
	Timeout time.Duration
}

// Order is what a [Group] promises about the order of messages with one key.
type Order int

// The orders of a group.
const (
	// Hold handles the messages of a key in stream order. While one of them is retried,
	// those behind it wait; when it has become a dead letter, they follow.
	Hold Order = iota
	// GoOn handles the messages of a key one at a time. While one of them waits for its
	// next attempt, those behind it are handled.
	GoOn
	// Park handles the messages of a key in stream order, and none after one of them has
	// become a dead letter: those that follow become dead letters as well, with
	// [ReasonParked], as long as any dead letter of the key is left. Redriven in
	// stream order, or discarded, they are handled or gone in that order, and the key
	// goes on.
	Park
	// Any handles every message as soon as a handler is free, whatever its key, and any
	// number of processes share the consumer's messages.
	Any
)

// String returns the order's name.
func (o Order) String() string {
	switch o {
	case Hold:
		return "hold"
	case GoOn:
		return "go on"
	case Park:
		return "park"
	case Any:
		return "any"
	}
	return fmt.Sprintf("Order(%d)", int(o))
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
	if g.Burst <= 0 {
		g.Burst = 1
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
