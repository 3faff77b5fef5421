package bus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Group is one durable consumer and how its handlers are retried. Groups are
// declared beside the stream's configuration; the consumer itself is created from
// there, and [Consumer.Start] checks it.
type Group struct {
	Stream string `config:"-"` // the stream that is read
	Name   string `config:"-"` // the durable consumer; it names the dead letters too

	// Redrive lets the group's dead letters be redriven (see [Letterbox]): they come
	// back through a second durable consumer, [RedriveConsumer], to the same handlers,
	// alone and out of the order of their lanes. Leave it off for a guard, which
	// deletes what it gives up.
	Redrive bool `config:"-"`

	// Route says which events the group is to handle, of those that it can. Default: all.
	Route *Route `config:"-"`

	// Order says what waits for what when a handler fails, and whether order matters at
	// all. Default [Hold].
	Order Order `doc:"What waits for what when a handler fails: hold, go-on, park or any."`
	// MaxAttempts is how often a message is tried before it becomes a dead letter.
	// Deliveries to a predecessor count, but for no more than half of the attempts,
	// since they tell only that the message was in its hands; attempts after that are
	// recorded before they begin, so that a message that ends the process each time
	// becomes a dead letter too. Default 8.
	MaxAttempts int `doc:"How often a message is tried before it becomes a dead letter." reload:"true"`
	// MinBackoff is the wait after the first failed attempt; it doubles with each
	// further one, and a random quarter of it is taken off. Default 100 ms.
	MinBackoff time.Duration `doc:"The wait after the first failed attempt, which doubles with each further one." reload:"true"`
	// MaxBackoff bounds the wait. Default 30 s.
	MaxBackoff time.Duration `doc:"The longest wait between attempts." reload:"true"`
	// Concurrency is how many handlers run at once in one process. Default 16.
	Concurrency int `doc:"How many handlers run at once in one process." reload:"true"`
	// Rate is how many attempts may begin in a second, in one process. Default: as many
	// as can.
	Rate float64 `doc:"How many attempts may begin in a second in one process; 0 is as many as can." reload:"true"`
	// Burst is how many attempts may begin at once after a pause, where Rate is set.
	// Default 1.
	Burst int `doc:"How many attempts may begin at once after a pause, where rate is set." reload:"true"`
	// Timeout ends the context of an attempt that takes longer; what the handler
	// returns then decides as always. Default: an attempt may take as long as it needs.
	Timeout time.Duration `doc:"Ends the context of an attempt that takes longer; 0 is no limit." reload:"true"`
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
		return "go-on"
	case Park:
		return "park"
	case Any:
		return "any"
	}
	return fmt.Sprintf("Order(%d)", int(o))
}

// MarshalText returns the order's name.
func (o Order) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an order's name.
func (o *Order) UnmarshalText(text []byte) error {
	for known := range Any + 1 {
		if known.String() == string(text) {
			*o = known
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s, %s, %s and %s", text, Hold, GoOn, Park, Any)
}

// Validate reports every setting that makes no sense.
func (g Group) Validate() error {
	var errs []error
	for _, s := range []struct {
		name     string
		negative bool
	}{
		{"max_attempts", g.MaxAttempts < 0},
		{"min_backoff", g.MinBackoff < 0},
		{"max_backoff", g.MaxBackoff < 0},
		{"concurrency", g.Concurrency < 0},
		{"rate", g.Rate < 0},
		{"burst", g.Burst < 0},
		{"timeout", g.Timeout < 0},
	} {
		if s.negative {
			errs = append(errs, fmt.Errorf("%s is negative", s.name))
		}
	}
	if d := g.WithDefaults(); d.MinBackoff > d.MaxBackoff {
		errs = append(errs, fmt.Errorf("min_backoff %s is longer than max_backoff %s", d.MinBackoff, d.MaxBackoff))
	}
	return errors.Join(errs...)
}

// WithDefaults returns the group as it runs: with the default of each setting that is not set.
func (g Group) WithDefaults() Group {
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
