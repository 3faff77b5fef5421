package aggregate

import (
	"context"
	"errors"
	"log/slog"
	"time"

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
// A genuine event that this program cannot read (see [event.Unreadable]) is left alone:
// a later release may have written it. What lies before the event that erased its
// aggregate is deleted without a dead letter. Running twice is safe: the dead letter
// has one id, and deleting what is deleted changes nothing.
func Guard(store *eventstore.Store, group bus.Group, log *slog.Logger) bus.Handler {
	reader := store.Reader()
	return bus.OnMessage(func(ctx context.Context, m bus.Message) error {
		_, err := reader.Check(ctx, m.Subject, m.Header, m.Data, m.Sequence)
		var foreign *eventstore.ForeignError
		switch {
		case event.Unreadable(err):
			log.WarnContext(ctx, "event that this release cannot read", "stream", m.Stream, "sequence", m.Sequence, "reason", err)
			return nil
		case eventstore.IsErased(err):
			return overwrite(ctx, store, m) // a dead letter would keep what is to be forgotten
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
		if err := overwrite(ctx, store, m); err != nil {
			return err
		}
		log.WarnContext(ctx, "foreign message removed from history", "stream", m.Stream, "sequence", m.Sequence)
		return nil
	})
}

func overwrite(ctx context.Context, store *eventstore.Store, m bus.Message) error {
	return eventstore.Overwrite(ctx, store.JetStream(), m.Stream, m.Sequence)
}
