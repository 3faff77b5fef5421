package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// Guard returns the handler with which the owner of a history stream removes what
// outsiders put there: each message that is not a genuine event of the stream
// becomes a dead letter and is then deleted. Readers ignore such messages anyway;
// the guard makes them visible and the history clean. Run it in a group of its own
// over all of the stream's history:
//
//	bus.Consume(js, streams.OrderGuard, bus.Config{Log: log}, aggregate.Guard(store, streams.OrderGuard, log))
//
// A genuine event of a type or version that this program does not know is left
// alone: a later release may have written it. Running twice is safe: the dead letter
// has one id, and deleting what is deleted changes nothing.
func Guard(store *eventstore.Store, group bus.Group, log *slog.Logger) bus.Handler {
	reader := store.Reader()
	return bus.OnMessage(func(ctx context.Context, m bus.Message) error {
		_, err := reader.Check(ctx, m.Subject, m.Header, m.Data, m.Sequence)
		var foreign *eventstore.ForeignError
		switch {
		case errors.Is(err, event.ErrUnknownType) || errors.Is(err, event.ErrNewerVersion):
			log.WarnContext(ctx, "event of a later release", "stream", m.Stream, "sequence", m.Sequence, "reason", err)
			return nil
		case !errors.As(err, &foreign):
			return err
		}
		now := time.Now()
		letter := bus.DeadLetter{
			Consumer: group.Name, Reason: bus.ReasonForeign, Error: foreign.Error(), Attempts: m.Attempt,
			Stream: m.Stream, Sequence: m.Sequence, Subject: m.Subject, Header: m.Header, Data: m.Data,
			FirstAt: now, LastAt: now,
		}
		if err := bus.PublishDeadLetter(ctx, store.JetStream(), letter); err != nil {
			return err
		}
		if err := remove(ctx, store.JetStream(), m); err != nil {
			return fmt.Errorf("remove foreign message %d: %w", m.Sequence, err)
		}
		log.WarnContext(ctx, "foreign message removed from history", "stream", m.Stream, "sequence", m.Sequence)
		return nil
	})
}

// remove deletes a message and overwrites it. One that is gone already is fine.
func remove(ctx context.Context, js jetstream.JetStream, m bus.Message) error {
	stream, err := js.Stream(ctx, m.Stream)
	if err != nil {
		return err
	}
	err = stream.SecureDeleteMsg(ctx, m.Sequence)
	if err == nil {
		return nil
	}
	if _, lookErr := stream.GetMsg(ctx, m.Sequence); errors.Is(lookErr, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}
