package bus

import "fmt"

// Group returns the name of the group that the consumer runs.
func (c *Consumer) Group() string { return c.group.Name }

// Tune changes how the group runs and is retried, while it does: MaxAttempts, MinBackoff,
// MaxBackoff, Concurrency, Rate, Burst and Timeout are g's from now on; the rest of g is
// left alone. An attempt that is under way goes on with the timeout it began with, and a
// message that waits for its next attempt waits as long as it was to. More attempts than
// are made in the new concurrency may be under way until they end. Attempts that were made
// count. Redriven letters are handled like the others. An error means that nothing has
// changed.
func (c *Consumer) Tune(g Group) error {
	next := *c.tuned.Load()
	next.MaxAttempts, next.MinBackoff, next.MaxBackoff, next.Timeout = g.MaxAttempts, g.MinBackoff, g.MaxBackoff, g.Timeout
	next.Concurrency, next.Rate, next.Burst = g.Concurrency, g.Rate, g.Burst
	if err := next.Validate(); err != nil {
		return fmt.Errorf("group %s: %w", c.group.Name, err)
	}
	next = next.WithDefaults()
	c.mu.Lock()
	before := c.tuned.Swap(&next)
	if c.started && !c.stopped && (before.Rate != next.Rate || before.Burst != next.Burst) {
		c.pace.stop()
		c.pace = newPace(next, c.resume)
	}
	if c.started {
		c.wake()
		c.work.Broadcast() // some may be too many
	}
	c.mu.Unlock()
	if c.redriven != nil {
		return c.redriven.Tune(g)
	}
	return nil
}

// resume goes on when the pace allows another attempt.
func (c *Consumer) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
}

// surplus tells whether there are more workers than the group is to have. The caller
// holds mu.
func (c *Consumer) surplus() bool { return c.workers > c.tuned.Load().Concurrency }
