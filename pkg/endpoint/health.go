package endpoint

import (
	"context"
)

// The statuses of a service.
const (
	StatusOK      = "ok"
	StatusFailing = "failing"
)

// HealthStatus is the answer of svc.<name>.health. Why a check fails stands in the
// service's log.
type HealthStatus struct {
	Status string            `json:"status"`           // "ok", or "failing" when one check is
	Checks map[string]string `json:"checks,omitempty"` // the same, check by check
	// Breakers are the circuit breakers of the services it calls, by policy: "closed",
	// "open" or "half-open".
	Breakers map[string]string `json:"breakers,omitempty"`
}

const healthName = "health"

// HealthStats is the data field of the endpoint health in `nats micro stats`: with what
// it has counted comes how the instance is. A request to svc.<name>.health is answered by
// one instance of the service, statistics come from each.
type HealthStats struct {
	Stats

	Health string `json:"health"` // "ok" or "failing"
}

// Health returns the method that every service serves by itself.
func Health(service string) Method[struct{}, HealthStatus] {
	return Method[struct{}, HealthStatus]{
		Service: service, Name: healthName, Description: "Whether this instance is well.", Idempotent: true, Auth: Public,
	}
}

// stats returns the data field of an endpoint in statistics.
func (s *Server) stats(name string) any {
	counted := s.lanes[name].snapshot()
	if name != healthName {
		return counted
	}
	all := HealthStats{Stats: counted, Health: StatusOK}
	for _, check := range s.cfg.Health {
		if check() != nil { // which is logged when somebody asks for health
			all.Health = StatusFailing
		}
	}
	return all
}

func (s *Server) health(ctx context.Context, _ struct{}) (HealthStatus, error) {
	status := HealthStatus{Status: StatusOK}
	if len(s.cfg.Health) > 0 {
		status.Checks = make(map[string]string, len(s.cfg.Health))
	}
	for name, check := range s.cfg.Health {
		status.Checks[name] = StatusOK
		if err := check(); err != nil {
			s.cfg.Log.WarnContext(ctx, "health check fails", "check", name, "error", err)
			status.Checks[name], status.Status = StatusFailing, StatusFailing
		}
	}
	if s.cfg.Policies != nil {
		status.Breakers = make(map[string]string)
		for _, p := range s.cfg.Policies.Snapshot() {
			status.Breakers[p.Policy] = p.State.String()
		}
	}
	return status, nil
}
