package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A message that ends the process each time it is handled is delivered again each
// time, and so is everything else that was in hand: the number of deliveries does not
// tell them apart. So deliveries count for half of the attempts only. A message that
// has used up that half is a suspect: from then on each of its attempts is recorded in
// [StateBucket] before it begins, and suspects run one at a time, so that the end of
// the process is charged to one of them and not to its neighbours. That is also why
// consumers have no max_deliver: the server would count, and give up, innocent
// messages, without a letter.

// recordKept is how long the record of a suspect outlives its last attempt.
const recordKept = 7 * 24 * time.Hour

// suspects lets one suspect run at a time. Guarded by the consumer's mutex.
type suspects struct {
	running bool
	aside   []*lane // those that wait for their turn
}

// admits reports whether the suspect at the head of l may run. If not, the lane waits
// aside.
func (s *suspects) admits(l *lane) bool {
	if s.running {
		l.phase = aside
		s.aside = append(s.aside, l)
		return false
	}
	s.running = true
	return true
}

// endSuspect lets the next suspect run. The caller holds mu.
func (c *Consumer) endSuspect() {
	c.suspect.running = false
	for len(c.suspect.aside) > 0 && !c.stopped {
		l := c.suspect.aside[0]
		c.suspect.aside = c.suspect.aside[1:]
		if l.phase == aside { // it may have moved on
			c.schedule(l)
			return
		}
	}
}

// errExhausted is why a message is given up whose last attempts never came to an end.
var errExhausted = errors.New("the process ended during its last attempts")

// begin records that an attempt at a suspect begins. It returns errExhausted when
// there were enough of them.
func (c *Consumer) begin(ctx context.Context, it *item) error {
	key := c.suspectKey(it)
	if it.lastError == nil { // its first attempt here: what did others record?
		entry, err := c.state.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return &postponeError{fmt.Errorf("read the attempts so far: %w", err)}
		default:
			recorded, err := strconv.Atoi(string(entry.Value()))
			if err != nil {
				return &postponeError{fmt.Errorf("read the attempts so far: %w", err)}
			}
			c.mu.Lock()
			it.prior = it.half + recorded
			c.mu.Unlock()
		}
		if it.prior >= c.tuned.Load().MaxAttempts {
			return errExhausted
		}
	}
	return c.recordAttempts(ctx, it, 1)
}

// recordAttempts stores how many attempts were made under suspicion, plus more.
func (c *Consumer) recordAttempts(ctx context.Context, it *item, more int) error {
	n := it.prior - it.half + it.failures + more
	if err := put(ctx, c.js, c.suspectKey(it), []byte(strconv.Itoa(n)), recordKept); err != nil {
		return &postponeError{fmt.Errorf("record the attempt: %w", err)}
	}
	return nil
}

// clear forgets what was recorded of a suspect that is settled. If that fails, the
// record goes by itself.
func (c *Consumer) clear(ctx context.Context, it *item) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	if err := c.state.Purge(ctx, c.suspectKey(it), jetstream.PurgeTTL(recordKept)); err != nil {
		c.cfg.Log.WarnContext(ctx, "record of attempts not cleared", "group", c.group.Name, "sequence", it.sequence(), "error", err)
	}
}

func (c *Consumer) suspectKey(it *item) string {
	return "attempts." + c.group.Stream + "." + c.group.Name + "." + strconv.FormatUint(it.sequence(), 10)
}

// postponeError says that an attempt could not begin. It does not count.
type postponeError struct{ err error }

func (e *postponeError) Error() string { return e.err.Error() }
func (e *postponeError) Unwrap() error { return e.err }
