// Package registryapi is what others may know of the service registry: its events, its
// endpoints and their types.
package registryapi

import (
	"errors"
	"time"

	"sluice/pkg/event"
)

// Events are the types in the history of services. A history is that of one service
// name, with all its instances: those that were registered, and those on NATS, which
// are found by asking.
var Events = event.NewRegistry("service",
	event.Define[Registered](1),
	event.Define[Deregistered](1),
	event.Define[CheckChanged](1),
	event.Define[Healthy](1),
	event.Define[Unhealthy](1),
	event.Define[Started](1),
	event.Define[Stopped](1),
)

// About is what every event says: which instance of which service, and since when.
type About struct {
	Name      string    `json:"name"`
	Instance  string    `json:"instance"`
	Timestamp time.Time `json:"timestamp"`
}

// AggregateID returns the service's name.
func (a About) AggregateID() string { return a.Name }

// OccurredAt returns when it happened.
func (a About) OccurredAt() time.Time { return a.Timestamp }

// Validate checks what every reader relies on.
func (a About) Validate() error {
	if a.Name == "" || a.Instance == "" {
		return errors.New("name and instance are required")
	}
	return nil
}

// Registered says that somebody registered an instance, which is there from now on. Nothing is known of how it is.
type Registered struct {
	About

	Version        string `json:"version"`
	Host           string `json:"host"`
	Port           int    `json:"port"`
	HealthEndpoint string `json:"health_endpoint"`
	Check          Check  `json:"check,omitzero"` // absent: it is not checked
}

// EventType returns the wire name.
func (Registered) EventType() string { return "service.registered" }

// Deregistered says that somebody took an instance out.
type Deregistered struct{ About }

// EventType returns the wire name.
func (Deregistered) EventType() string { return "service.deregistered" }

// CheckChanged says how an instance is checked from now on.
type CheckChanged struct {
	About

	Check Check `json:"check"`
}

// EventType returns the wire name.
func (CheckChanged) EventType() string { return "service.check-changed" }

// Healthy says that an instance is well again, or for the first time.
type Healthy struct{ About }

// EventType returns the wire name.
func (Healthy) EventType() string { return "service.healthy" }

// Unhealthy says that an instance failed as many checks in a row as it may, or that one
// on NATS has said so often that it is failing.
type Unhealthy struct {
	About

	Reason string `json:"reason"` // of the last failure, such as "status 503"
}

// EventType returns the wire name.
func (Unhealthy) EventType() string { return "service.unhealthy" }

// Started says that an instance on NATS answers, and with that is healthy.
type Started struct {
	About

	Version string `json:"version"`
}

// EventType returns the wire name.
func (Started) EventType() string { return "service.started" }

// Stopped says that an instance on NATS does not answer any more: it has ended, or
// nothing has been heard of it for a while in which others were.
type Stopped struct{ About }

// EventType returns the wire name.
func (Stopped) EventType() string { return "service.stopped" }
