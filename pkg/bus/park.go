package bus

import (
	"context"
	"errors"
	"fmt"
)

// The dead letters themselves say which keys are parked, so nothing has to be kept in
// step with them: a key is parked while a letter of one of its earlier messages lies in
// the stream of dead letters, whoever put it there, and goes on when the last one is
// redriven with success, discarded or erased.

// ReasonParked is the reason of dead letters of groups that [Park].
const ReasonParked Reason = "parked" // an earlier message of its key became a dead letter

var errParked = errors.New("an earlier message of the same key is a dead letter")

// parked are the keys that may be parked: the subjects of their letters. Guarded by the
// consumer's mutex.
type parked map[string]map[string]struct{}

func (p parked) add(key, subject string) {
	if p[key] == nil {
		p[key] = make(map[string]struct{})
	}
	p[key][subject] = struct{}{}
}

// park notes that a message became a dead letter.
func (c *Consumer) park(it *item) {
	if c.group.Order != Park {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked.add(c.key(it), letterSubject(c.group.Name, it.message.Subject))
}

// loadParked reads the group's dead letters, one after the other.
func (c *Consumer) loadParked(ctx context.Context) error {
	if c.group.Order != Park {
		return nil
	}
	found := make(parked)
	for next := uint64(1); ; {
		m, err := c.letters().next(ctx, next, "deadletter."+c.group.Name+".>")
		if errors.Is(err, errNoMessage) {
			break
		}
		if err != nil {
			return fmt.Errorf("look which keys are parked: %w", err)
		}
		next = m.Sequence + 1
		if letter, genuine := openLetter(m); genuine {
			found.add(c.cfg.Key(Message{
				Subject: letter.Subject, Header: letter.Header, Data: letter.Data,
				Stream: letter.Stream, Sequence: letter.Sequence, Time: letter.StoredAt,
			}), letterSubject(letter.Consumer, letter.Subject))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = found
	return nil
}

// checkParked returns an error when the message must not be handled because an earlier
// one of its key is a dead letter.
func (c *Consumer) checkParked(ctx context.Context, it *item) error {
	c.mu.Lock()
	key := c.key(it)
	subjects := make([]string, 0, len(c.parked[key]))
	for subject := range c.parked[key] {
		subjects = append(subjects, subject)
	}
	c.mu.Unlock()
	for _, subject := range subjects {
		parks, err := c.parks(ctx, it, subject)
		if err != nil {
			return &postponeError{fmt.Errorf("look whether %s is parked: %w", key, err)}
		}
		if parks {
			return dropAs(ReasonParked, errParked)
		}
	}
	return nil
}

// parks reports whether a letter with this subject is about an earlier message than
// it. A subject that has no letter any more is forgotten.
func (c *Consumer) parks(ctx context.Context, it *item, subject string) (bool, error) {
	none := true
	for next := uint64(1); ; {
		m, err := c.letters().next(ctx, next, subject)
		if errors.Is(err, errNoMessage) {
			break
		}
		if err != nil {
			return false, err
		}
		next = m.Sequence + 1
		letter, genuine := openLetter(m)
		if !genuine || letter.Stream != it.message.Stream {
			continue
		}
		if letter.Sequence < it.sequence() {
			return true, nil
		}
		none = false
	}
	if none {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.parked[c.key(it)], subject)
	}
	return false, nil
}

func (c *Consumer) letters() streamReader {
	return streamReader{js: c.js, stream: DeadLetterStream}
}
