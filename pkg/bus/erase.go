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
// stream, a letter at a time, and may be repeated.
func EraseDeadLetters(ctx context.Context, js jetstream.JetStream, matches func(DeadLetter) bool) error {
	stream, err := js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return fmt.Errorf("erase dead letters: %w", err)
	}
	last := stream.CachedInfo().State.LastSeq
	for next := uint64(1); next <= last; {
		m, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letter: %w", err)
		}
		next = m.Sequence + 1
		letter, err := ParseDeadLetter(m.Header, m.Data)
		if err != nil {
			letter = DeadLetter{Subject: m.Subject, Header: m.Header, Data: m.Data}
		}
		if !matches(letter) {
			continue
		}
		if err := overwrite(ctx, stream, m.Sequence); err != nil {
			return fmt.Errorf("erase dead letter: %w", err)
		}
	}
	return nil
}

// overwrite deletes a message and its bytes on disk. One that is gone is fine.
func overwrite(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	err := stream.SecureDeleteMsg(ctx, sequence)
	if err == nil {
		return nil
	}
	if _, lookErr := stream.GetMsg(ctx, sequence); errors.Is(lookErr, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
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
	stream, err := c.js.Stream(ctx, c.group.Stream)
	if err == nil {
		err = overwrite(ctx, stream, it.sequence())
	}
	if err != nil {
		return fmt.Errorf("overwrite what is settled: %w", err)
	}
	return nil
}
