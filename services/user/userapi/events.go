// Package userapi is what others may know of the user service: its events, its
// endpoints and their types.
package userapi

import (
	"errors"
	"time"

	"sluice/pkg/event"
)

// Events are the types in the history of users.
var Events = event.NewRegistry("user",
	event.Define[Created](1).First(),
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

// Validate checks what every reader relies on.
func (c Created) Validate() error {
	if c.UserID == "" || c.Username == "" || c.Email == "" {
		return errors.New("user_id, username and email are required")
	}
	return nil
}
