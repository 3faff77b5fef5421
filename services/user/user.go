package user

import (
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

// apply folds one event into a user.
func apply(u userapi.User, e event.Event, data event.Data) userapi.User {
	switch d := data.(type) {
	case userapi.Created:
		u.ID, u.Username, u.Email, u.CreatedAt = e.Subject, d.Username, d.Email, d.Timestamp
	}
	u.Version = e.Version
	return u
}

// register decides whether a user may come into being.
func register(u userapi.User, created userapi.Created) ([]event.Data, error) {
	if u.Version > 0 {
		return nil, endpoint.Conflict("this user exists already", endpoint.FieldError{Field: "id", Message: "exists already"})
	}
	if wrong := userapi.CheckNames(created.Username, created.Email); len(wrong) > 0 {
		return nil, endpoint.Invalid("username or e-mail is not acceptable", wrong...)
	}
	return []event.Data{created}, nil
}
