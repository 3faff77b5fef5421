package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// EraseDeadLetters overwrites and deletes the dead letters that matches accepts,
// among those that lie in the stream when it is called. What is no dead letter is
// shown to matches too, with its subject, headers and data. It reads the whole
// stream, a letter at a time and from its leader, and may be repeated.
func EraseDeadLetters(ctx context.Context, js jetstream.JetStream, matches func(DeadLetter) bool) error {
	stream, err := js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return fmt.Errorf("erase dead letters: %w", err)
	}
	letters := streamReader{js: js, stream: DeadLetterStream}
	last := stream.CachedInfo().State.LastSeq
	for next := uint64(1); next <= last; {
		m, err := letters.next(ctx, next, ">")
		if errors.Is(err, errNoMessage) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("erase dead letters: %w", err)
		}
		next = m.Sequence + 1
		letter, err := ParseDeadLetter(m.Header, m.Data)
		if err != nil {
			letter = DeadLetter{Subject: m.Subject, Header: m.Header, Data: m.Data}
		}
		if !matches(letter) {
			continue
		}
		if _, err := letters.remove(ctx, m.Sequence); err != nil {
			return fmt.Errorf("erase dead letters: %w", err)
		}
	}
	return nil
}

// erase overwrites a message that is settled, if the group's streams are to be left
// without a trace of it. It comes before the acknowledgement, after which nobody
// would come back for it.
func (c *Consumer) erase(ctx context.Context, it *item) error {
	if !c.cfg.Erases {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letterTimeout)
	defer cancel()
	settled := streamReader{js: c.js, stream: c.group.Stream}
	if _, err := settled.remove(ctx, it.sequence()); err != nil {
		return fmt.Errorf("overwrite what is settled: %w", err)
	}
	return nil
}
