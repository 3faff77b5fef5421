package user

import (
	"context"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

// takeCreated takes in a user from outside, who has no password and cannot log in. It
// may run twice: the event is the command's Origin and counts once.
func (h handlers) takeCreated(ctx context.Context, e event.Of[userapi.Created]) error {
	if e.Data.UserID != e.Subject {
		return endpoint.Invalid("data does not belong to the event's subject", endpoint.FieldError{Field: "user_id", Message: "differs from the subject"})
	}
	command := h.registration(e.Data)
	command.Origin = &e.Event
	_, err := h.users.Do(ctx, command)
	return err
}
