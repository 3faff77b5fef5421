package registryapi

import (
	"time"

	"sluice/pkg/endpoint"
)

// The endpoints of the registry.
var (
	Register = endpoint.Method[RegisterRequest, Service]{
		Service: "registry", Name: "register", HTTP: "POST /v1/services", Location: "/v1/services/{name}", Idempotent: true, Auth: endpoint.Admin,
		Description: "Registers one instance of a service that does not run on NATS, and how to check it.",
	}
	Deregister = endpoint.Method[DeregisterRequest, DeregisterResponse]{
		Service: "registry", Name: "deregister", HTTP: "DELETE /v1/services/{name}", Idempotent: true, Auth: endpoint.Admin,
		Description: "Forgets the registered instances of a service, or one of them; they are not checked any more.",
	}
	Get = endpoint.Method[GetRequest, Service]{
		Service: "registry", Name: "get", HTTP: "GET /v1/services/{name}", Idempotent: true, Auth: endpoint.Operator,
		Description: "Returns one service with every instance: those on NATS that answer now, and those that were registered.",
	}
	List = endpoint.Method[ListRequest, ListResponse]{
		Service: "registry", Name: "list", HTTP: "GET /v1/services", Idempotent: true, Auth: endpoint.Operator,
		Description: "Lists services by name, page by page.",
	}
	ChangeCheck = endpoint.Method[ChangeCheckRequest, Service]{
		Service: "registry", Name: "change-check", HTTP: "PUT /v1/services/{name}/check", Idempotent: true, Auth: endpoint.Admin,
		Description: "Changes how the registered instances of a service are checked, or one of them, from now on.",
	}
	HealthCheck = endpoint.Method[HealthCheckRequest, Service]{
		Service: "registry", Name: "health-check", HTTP: "POST /v1/services/{name}/health-check", Idempotent: true, Auth: endpoint.Admin,
		Description: "Checks every instance of a service now and says how it is; fails when one of them does. It changes no status.",
	}
)

// Routes are the specs of all endpoints.
var Routes = []endpoint.Spec{
	Register.Spec(), Deregister.Spec(), Get.Spec(), List.Spec(), ChangeCheck.Spec(), HealthCheck.Spec(), Alerts.Spec(),
}

// Status is how an instance or a service is.
type Status string

// The statuses. An instance is unknown before its first check, when it has none, and
// while the registry itself cannot tell. A service is healthy when one of its instances
// is, and unhealthy when none is and one is unhealthy.
const (
	StatusHealthy   Status = "healthy"
	StatusUnhealthy Status = "unhealthy"
	StatusUnknown   Status = "unknown"
)

// Service is a service as others see it.
type Service struct {
	Name          string     `json:"name"`
	Version       string     `json:"version"` // the highest of its instances
	Status        Status     `json:"status"`
	LastHeartbeat time.Time  `json:"last_heartbeat,omitzero"` // the latest of its instances
	Instances     []Instance `json:"instances"`
}

// Instance is one instance of a service. One on NATS has neither port nor check: as long
// as it answers it is what it says of itself, healthy when it says nothing.
type Instance struct {
	ID             string    `json:"id"`
	Version        string    `json:"version"`
	Host           string    `json:"host"`
	Port           int       `json:"port"`
	HealthEndpoint string    `json:"health_endpoint,omitempty"`
	Check          *Check    `json:"check,omitempty"`
	Status         Status    `json:"status"`
	LastHeartbeat  time.Time `json:"last_heartbeat,omitzero"` // its last success; a failed check leaves it, and one on NATS that is failing has none
}

// RegisterRequest asks to register one instance.
type RegisterRequest struct {
	Name    string `json:"name" validate:"required,max=64"`
	ID      string `json:"id,omitempty" validate:"max=64"` // of the instance; default: made of host and port
	Version string `json:"version" validate:"required,max=64"`
	Host    string `json:"host" validate:"required,max=253"` // a host name or an IP address
	Port    int    `json:"port" validate:"required,min=1,max=65535"`
	// HealthEndpoint is the path, with a query if need be, that answers 2xx to a GET over
	// HTTP, or HTTPS if the check says so, while the instance is well. Default "/health".
	HealthEndpoint string `json:"health_endpoint,omitempty" validate:"max=1024"`
	// Check says how often it is asked. Without it the instance is not checked, and its
	// status is unknown, until [ChangeCheck].
	Check *Check `json:"check,omitempty"`
}

// Validate checks what the tags can't say.
func (r RegisterRequest) Validate() []endpoint.FieldError {
	wrong := checkName(r.Name)
	if r.ID != "" && !idPattern.MatchString(r.ID) {
		wrong = append(wrong, endpoint.FieldError{Field: "id", Message: "must be 1 to 64 of [A-Za-z0-9_-]"})
	}
	if !versionPattern.MatchString(r.Version) {
		wrong = append(wrong, endpoint.FieldError{Field: "version", Message: "must be 1 to 64 of [A-Za-z0-9.+_-]"})
	}
	if !isHost(r.Host) {
		wrong = append(wrong, endpoint.FieldError{Field: "host", Message: "must be a host name or an IP address"})
	}
	if !isPath(r.HealthEndpoint) {
		wrong = append(wrong, endpoint.FieldError{Field: "health_endpoint", Message: "must be a path such as /health"})
	}
	if r.Check != nil {
		wrong = append(wrong, r.Check.problems("check.")...)
	}
	return wrong
}

// DeregisterRequest asks to forget instances.
type DeregisterRequest struct {
	Name     string `json:"name" validate:"required,max=64"`
	Instance string `json:"instance,omitempty" validate:"max=64"` // default: all of them
}

// Validate checks what the tags can't say.
func (r DeregisterRequest) Validate() []endpoint.FieldError { return checkName(r.Name) }

// DeregisterResponse says which instances are still registered.
type DeregisterResponse struct {
	Name      string   `json:"name"`
	Instances []string `json:"instances"` // their ids
}

// GetRequest asks for one service.
type GetRequest struct {
	Name string `json:"name" validate:"required,max=128"`
}

// ListRequest asks for a page of services.
type ListRequest struct {
	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the page before
}

// ListResponse is a page of services.
type ListResponse struct {
	Items []Service `json:"items"`
	Next  string    `json:"next,omitempty"` // the cursor of the next page, absent on the last
}

// ChangeCheckRequest asks to check instances in another way.
type ChangeCheckRequest struct {
	Name     string `json:"name" validate:"required,max=64"`
	Instance string `json:"instance,omitempty" validate:"max=64"` // default: all of them
	Check    *Check `json:"check" validate:"required"`
}

// Validate checks what the tags can't say.
func (r ChangeCheckRequest) Validate() []endpoint.FieldError {
	return append(checkName(r.Name), r.Check.problems("check.")...)
}

// HealthCheckRequest asks to check a service now.
type HealthCheckRequest struct {
	Name string `json:"name" validate:"required,max=128"`
}
