package aggregate

import (
	"errors"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// coded gives the errors that a caller of aggregate id can do something about their
// code for the wire. The cause stays in the chain.
func coded(id string, err error) error {
	var (
		taken *eventstore.TakenError
		known *endpoint.Error
	)
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &taken):
		return endpoint.Conflict(taken.Claim+" is already taken", endpoint.FieldError{Field: taken.Claim, Message: "is already taken"}).Because(err)
	case errors.Is(err, ErrNotFound):
		return endpoint.NotFound("there is no such thing").Because(err)
	case errors.Is(err, ErrKeyReused):
		return endpoint.Conflict(ErrKeyReused.Error()).Because(err)
	case errors.Is(err, eventstore.ErrConflict):
		return endpoint.Conflict("others are changing it at the same time").Because(err)
	case errors.Is(err, eventstore.ErrTooLarge):
		return endpoint.Invalid("the request is too large for one event").Because(err)
	case errors.Is(err, event.ErrInvalid) && event.CheckID(id) == nil:
		return endpoint.Invalid("the request does not make a valid event").Because(err)
	case errors.Is(err, event.ErrInvalid):
		return endpoint.Invalid("the id is malformed", endpoint.FieldError{Field: "id", Message: "is malformed"}).Because(err)
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
		return endpoint.Deadline("it is not known whether this happened; repeat it with the same Idempotency-Key").Because(err)
	default:
		return err
	}
}

// contended says that an attempt lost against others and may be made again.
func contended(err error) bool { return errors.Is(err, eventstore.ErrConflict) }
