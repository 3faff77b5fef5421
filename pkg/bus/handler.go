package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// Handler is what [On] or [OnMessage] made of a function. The function's error is
// the instruction: nil acknowledges the message, any other error retries it later,
// [Drop] gives it up.
type Handler struct {
	eventType string // empty: whole messages
	event     func(context.Context, event.Event) error
	message   func(context.Context, Message) error
	kept      time.Duration // with an inbox, how long an event is remembered there
}

// On handles the events of type T, whose wire name it takes from T. Data that does
// not fit T drops the event, as a retry would find the same data. An event of an older
// version comes as T when [Config.Read] knows the versions, as an eventstore Reader
// does.
//
// The handler may run more than once for one event: after a crash, after a lost
// acknowledgement, and after an error. The event is the cause of what the handler
// does in its context: see [event.CausedBy].
func On[T event.Data](h func(ctx context.Context, e event.Of[T]) error) Handler {
	var zero T
	return Handler{eventType: zero.EventType(), event: func(ctx context.Context, e event.Event) error {
		typed, err := event.DecodeAs[T](e)
		if err != nil {
			return dropAs(ReasonUndecodable, err)
		}
		return h(ctx, typed)
	}}
}

// OnMessage handles everything the group receives, undecoded: for intake and for
// guards, which judge what others only read. It stands alone in its group.
func OnMessage(h func(ctx context.Context, m Message) error) Handler {
	return Handler{message: h}
}

// Message is a delivered message as it lies in its stream.
type Message struct {
	Subject  string
	Header   nats.Header // nil when it has none, or a broken one
	Data     []byte
	Stream   string
	Sequence uint64    // its place in Stream
	Time     time.Time // when the stream stored it
	Attempt  int       // as [Attempt] says, from 1
}

// handlers are the functions of one consumer: typed ones, or one for everything.
type handlers struct {
	byType  map[string]func(context.Context, event.Event) error
	message func(context.Context, Message) error
}

func newHandlers(js jetstream.JetStream, group string, list []Handler) (handlers, error) {
	all := handlers{byType: make(map[string]func(context.Context, event.Event) error, len(list))}
	for _, h := range list {
		switch {
		case h.message != nil:
			if len(list) > 1 {
				return handlers{}, errors.New("a handler of whole messages stands alone in its group")
			}
			if h.kept > 0 {
				return handlers{}, errors.New("a handler of whole messages has no events to record")
			}
			all.message = h.message
		case h.event == nil:
			return handlers{}, errors.New("the zero Handler handles nothing: make handlers with On and OnMessage")
		case all.byType[h.eventType] != nil:
			return handlers{}, fmt.Errorf("event type %s has two handlers", h.eventType)
		case h.kept > 0:
			all.byType[h.eventType] = inbox{js: js, group: group, kept: h.kept, run: h.event}.handle
		default:
			all.byType[h.eventType] = h.event
		}
	}
	if len(list) == 0 {
		return handlers{}, errors.New("the group has no handlers")
	}
	return all, nil
}
