package user

import (
	"context"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

// intake lists what outsiders may publish about users. A user that comes in this way
// has no password and cannot log in.
func (h handlers) intake() map[string]aggregate.Take {
	return map[string]aggregate.Take{
		userapi.Created{}.EventType(): h.takeCreated,
	}
}

// takeCreated may run twice: the event is the command's Origin and counts once.
func (h handlers) takeCreated(ctx context.Context, e event.Event, data event.Data) error {
	created := data.(userapi.Created)
	if created.UserID != e.Subject {
		return endpoint.Invalid("data does not belong to the event's subject", endpoint.FieldError{Field: "user_id", Message: "differs from the subject"})
	}
	command := h.registration(created)
	command.Origin = &e
	_, err := h.users.Do(ctx, command)
	return err
}
