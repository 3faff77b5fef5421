package user

import (
	"cmp"
	"slices"
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

// apply folds one event into a user. Of an erased one only the version is left.
func apply(u userapi.User, e event.Event, data event.Data) userapi.User {
	switch d := data.(type) {
	case userapi.Created:
		u.ID, u.Username, u.Email, u.CreatedAt = e.Subject, d.Username, d.Email, d.Timestamp
	case userapi.Changed:
		u.Username, u.Email = d.Username, d.Email
	case userapi.RolesChanged:
		u.Roles = d.Roles
	case userapi.Erased:
		u = userapi.User{}
	}
	u.Version = e.Version
	return u
}

// isErased tells an erased user from one who is there and one who never was.
func isErased(u userapi.User) bool { return u.Version > 0 && u.ID == "" }

// exists refuses what is asked of nobody.
func exists(u userapi.User) error {
	if u.ID == "" {
		return endpoint.NotFound("User not found", endpoint.FieldError{Field: "id", Message: "User not found"})
	}
	return nil
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

// change decides what a user is called from now on. Empty names stay as they are.
func change(u userapi.User, username, email string, at time.Time) ([]event.Data, error) {
	if err := exists(u); err != nil {
		return nil, err
	}
	changed := userapi.Changed{UserID: u.ID, Username: cmp.Or(username, u.Username), Email: cmp.Or(email, u.Email), Timestamp: at}
	if changed.Username == u.Username && changed.Email == u.Email {
		return nil, nil
	}
	if wrong := userapi.CheckNames(changed.Username, changed.Email); len(wrong) > 0 {
		return nil, endpoint.Invalid("username or e-mail is not acceptable", wrong...)
	}
	return []event.Data{changed}, nil
}

// grant decides what a user may do from now on.
func grant(u userapi.User, roles []auth.Role, at time.Time) ([]event.Data, error) {
	if err := exists(u); err != nil {
		return nil, err
	}
	roles = slices.Compact(slices.Sorted(slices.Values(roles)))
	for _, r := range roles {
		if !r.Granted() {
			return nil, endpoint.Invalid("there is no such role", endpoint.FieldError{Field: "roles", Message: "must be operator or admin"})
		}
	}
	if slices.Equal(roles, u.Roles) {
		return nil, nil
	}
	return []event.Data{userapi.RolesChanged{UserID: u.ID, Roles: roles, Timestamp: at}}, nil
}

// erase decides whether there is somebody to forget. Once is enough.
func erase(u userapi.User, at time.Time) ([]event.Data, error) {
	if isErased(u) {
		return nil, nil
	}
	if err := exists(u); err != nil {
		return nil, err
	}
	return []event.Data{userapi.Erased{UserID: u.ID, Timestamp: at}}, nil
}
