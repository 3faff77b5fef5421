// Package userapi is what others may know of the user service: its events, its
// endpoints and their types.
package userapi

import (
	"errors"
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/event"
)

// Events are the types in the history of users.
var Events = event.NewRegistry("user",
	event.Define[Created](1).First(),
	event.Define[Changed](1),
	event.Define[RolesChanged](1),
	event.Define[Erased](1),
)

// Created says that a user exists from now on. It holds no password.
type Created struct {
	UserID    string    `json:"user_id"`
	Username  string    `json:"username"`
	Email     string    `json:"email"`
	Timestamp time.Time `json:"timestamp"`
}

// EventType returns the wire name.
func (Created) EventType() string { return "user.created" }

// AggregateID returns the user's id.
func (c Created) AggregateID() string { return c.UserID }

// OccurredAt returns when the user came.
func (c Created) OccurredAt() time.Time { return c.Timestamp }

// Validate checks what every reader relies on.
func (c Created) Validate() error {
	if c.UserID == "" || c.Username == "" || c.Email == "" {
		return errors.New("user_id, username and email are required")
	}
	return nil
}

// Changed says what a user is called from now on, both names in full.
type Changed struct {
	UserID    string    `json:"user_id"`
	Username  string    `json:"username"`
	Email     string    `json:"email"`
	Timestamp time.Time `json:"timestamp"`
}

// EventType returns the wire name.
func (Changed) EventType() string { return "user.changed" }

// AggregateID returns the user's id.
func (c Changed) AggregateID() string { return c.UserID }

// Validate checks what every reader relies on.
func (c Changed) Validate() error { return Created(c).Validate() }

// RolesChanged says all the roles that a user has from now on.
type RolesChanged struct {
	UserID    string      `json:"user_id"`
	Roles     []auth.Role `json:"roles"`
	Timestamp time.Time   `json:"timestamp"`
}

// EventType returns the wire name.
func (RolesChanged) EventType() string { return "user.roles-changed" }

// AggregateID returns the user's id.
func (r RolesChanged) AggregateID() string { return r.UserID }

// Validate checks what every reader relies on.
func (r RolesChanged) Validate() error {
	if r.UserID == "" {
		return errors.New("user_id is required")
	}
	return nil
}

// Erased says that nothing is to be known of a user from now on. Whoever keeps
// something about users forgets it; what was before this event is deleted.
type Erased struct {
	UserID    string    `json:"user_id"`
	Timestamp time.Time `json:"timestamp"`
}

// EventType returns the wire name.
func (Erased) EventType() string { return "user.erased" }

// AggregateID returns the user's id.
func (e Erased) AggregateID() string { return e.UserID }

// Validate checks what every reader relies on.
func (e Erased) Validate() error {
	if e.UserID == "" {
		return errors.New("user_id is required")
	}
	return nil
}
