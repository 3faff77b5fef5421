package aggregate

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// Taker takes in one type of event; make it with [Take].
type Taker struct {
	name string
	span []trace.SpanStartOption
	do   func(ctx context.Context, e event.Event, registry *event.Registry) error
}

// Take returns the taker of events with data T. do carries out what the event asks
// for, through the same rules as everybody's commands; its [Command] has the event as
// the Origin.
func Take[T event.Data](do func(ctx context.Context, e event.Of[T]) error) Taker {
	var zero T
	return Taker{name: zero.EventType(), span: takingIn(zero.EventType()), do: func(ctx context.Context, e event.Event, registry *event.Registry) error {
		data, err := registry.DecodeStrict(e)
		if err != nil {
			return bus.Drop(err)
		}
		typed, ok := data.(T)
		if !ok {
			return bus.Drop(fmt.Errorf("%w: %s was read as %T, not as %T", event.ErrData, e.Type, data, typed))
		}
		return do(ctx, event.Of[T]{Event: e, Data: typed})
	}}
}

// Intake returns the handler for CloudEvents that outsiders publish on the two-token
// subjects of an entity (nats pub order.created '{…}'). Each type that may come in
// this way has a taker; the event must be a valid CloudEvent of one of these types,
// published on the subject of that name, with data that fits the type to the letter
// and the aggregate's id as its subject attribute.
//
// What is not so, or is refused by the rules, becomes a dead letter with the reason;
// trouble on our side is retried. Running twice is safe when the takers name the
// Origin, which makes the same event count once.
func Intake(registry *event.Registry, takers ...Taker) bus.Handler {
	take := make(map[string]Taker, len(takers))
	for _, t := range takers {
		take[t.name] = t
	}
	return bus.OnMessage(func(ctx context.Context, m bus.Message) error {
		e, err := event.Decode(m.Header, m.Data)
		if err != nil {
			return bus.Drop(err)
		}
		taker, ok := take[e.Type]
		if !ok {
			return bus.Drop(fmt.Errorf("events of type %q are not taken in", e.Type))
		}
		if e.Type != m.Subject {
			return bus.Drop(fmt.Errorf("an event of type %q was published on another subject", e.Type))
		}
		if !event.IsUUID(e.Subject) {
			return bus.Drop(errors.New("attribute subject is not the id of an aggregate, a UUID in lower case"))
		}
		ctx, span := begin(ctx, taker, e)
		defer span.End()
		cause := event.Metadata{CorrelationID: e.CorrelationID, CausationID: e.CausationID}
		if cause.CorrelationID == "" {
			cause.CorrelationID = e.ID
		}
		err = taker.do(event.WithMetadata(ctx, cause), e, registry)
		switch endpoint.CodeOf(err) {
		case endpoint.CodeInvalid, endpoint.CodeConflict, endpoint.CodeNotFound, endpoint.CodeForbidden, endpoint.CodeUnauthenticated:
			if !contended(err) {
				return bus.Drop(err)
			}
		default:
		}
		return err
	})
}

// IntakeKey is the lane of an intake message: its aggregate, so that what an
// outsider publishes about one aggregate is taken in order.
func IntakeKey(m bus.Message) string {
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return m.Subject
	}
	return e.Entity() + "." + e.Subject
}
