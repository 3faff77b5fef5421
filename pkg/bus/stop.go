package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// grace is how long Stop waits beyond its context: for handlers to notice that they
// are cancelled, and for the last acknowledgements to leave.
const grace = 2 * time.Second

// Stop ends the consumer: nothing more is pulled, running handlers may finish until
// ctx ends and are cancelled then, and what is held but not handled goes back to the
// server, which can give it to a successor at once. When Stop returns nil, no handler
// runs and every acknowledgement has reached the server.
func (c *Consumer) Stop(ctx context.Context) error {
	redriven := c.stopRedriven(ctx)
	return errors.Join(c.stop(ctx), <-redriven)
}

func (c *Consumer) stop(ctx context.Context) error {
	c.mu.Lock()
	running := c.started && !c.stopped
	c.stopped = true
	if running {
		close(c.stopping)
		c.work.Broadcast()
		c.alarm.Stop()
		c.pace.stop()
		c.rest()
	}
	c.mu.Unlock()
	if !running {
		return nil
	}
	err := c.finish(ctx)
	if err != nil {
		return fmt.Errorf("stop group %s: %w", c.group.Name, err)
	}
	return nil
}

func (c *Consumer) finish(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopTimer := context.AfterFunc(ctx, func() {
		c.cancelRun()
		time.AfterFunc(grace, cancel)
	})
	defer stopTimer()
	if err := c.pull.drain(); err == nil {
		await(late, c.pull.closed)
	}
	await(late, c.over)
	c.mu.Lock()
	c.flushAcks()
	c.mu.Unlock()
	c.unmeasure()
	c.cancelRun()
	close(c.ended)
	c.background.Wait()
	running := c.giveBack()
	flush, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer done()
	if err := c.js.Conn().FlushWithContext(flush); err != nil {
		return fmt.Errorf("flush acknowledgements: %w", err)
	}
	if err := c.keepPosition(flush); err != nil && !errors.Is(err, errDisplaced) {
		c.cfg.Log.WarnContext(ctx, "position not recorded", "group", c.group.Name, "error", err)
	}
	if running > 0 {
		return fmt.Errorf("%d handlers did not end: %w", running, context.Cause(ctx))
	}
	return nil
}

func await(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// giveBack returns what is held to the server, oldest first, and the number of
// handlers that run in spite of everything.
func (c *Consumer) giveBack() (running int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.untouched()
	for _, it := range rest {
		if it.delivery.Nak() != nil {
			break // the connection is gone, and Stop says so when it flushes
		}
	}
	return len(c.held) + len(c.limbo) - len(rest)
}

// untouched returns what is in hand and not with a handler, oldest first. The caller
// holds mu.
func (c *Consumer) untouched() []*item {
	rest := make([]*item, 0, len(c.held)+len(c.limbo))
	for _, it := range c.held {
		if !it.running {
			rest = append(rest, it)
		}
	}
	rest = append(rest, c.limbo...)
	slices.SortFunc(rest, func(a, b *item) int { return cmp.Compare(a.sequence(), b.sequence()) })
	return rest
}
