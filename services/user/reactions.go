package user

import (
	"context"

	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

// takeCreated takes in a user from outside, who has no password and cannot log in. It
// may run twice: the event is the command's Origin and counts once.
func (h handlers) takeCreated(ctx context.Context, e event.Of[userapi.Created]) error {
	command := h.registration(e.Data)
	command.Origin = &e.Event
	_, err := h.users.Do(ctx, command)
	return err
}
