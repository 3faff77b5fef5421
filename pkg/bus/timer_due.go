package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// readDue decodes a timer that is due. Anybody may have published it, so nothing but
// its form is known: it is the handler that looks whether its time has come.
func readDue(_ context.Context, msg jetstream.Msg) (event.Event, bool, error) {
	e, err := event.Decode(msg.Headers(), msg.Data())
	if err != nil {
		return event.Event{}, false, dropAs(ReasonUndecodable, err)
	}
	if event.CheckID(e.Subject) != nil || msg.Subject() != dueSubject(e.Entity(), e.Subject) {
		return event.Event{}, false, dropAs(ReasonForeign, errors.New("the event is not the timer that its NATS subject names"))
	}
	meta, err := msg.Metadata()
	if err != nil {
		return event.Event{}, false, fmt.Errorf("read timer: %w", err)
	}
	e.Stream, e.Sequence = meta.Stream, meta.Sequence.Stream
	return e, true, nil
}

// checkDue tells what is wrong with the filters of a consumer of due timers: they are
// timer.due.<entity>.* for exactly the entities whose events have handlers.
func (c *Consumer) checkDue(filters []string) error {
	wanted := make([]string, 0, len(c.handlers.byType))
	for eventType := range c.handlers.byType {
		wanted = append(wanted, dueSubject(event.Event{Type: eventType}.Entity(), "*"))
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	if got := slices.Sorted(slices.Values(filters)); !slices.Equal(got, wanted) {
		return fmt.Errorf("the consumer filters on %v, the handled timers are %v", got, wanted)
	}
	return nil
}
