package registry

import (
	"slices"
	"strconv"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/registry/registryapi"
)

// service is what the history of one name amounts to: its registered instances and those
// that run on NATS, in the order they came. One history for each name, and not for each
// instance, makes "this address is registered already" a rule that no race gets around.
type service struct {
	Name      string     `json:"name"`
	Instances []instance `json:"instances"`
	Running   []running  `json:"running,omitempty"`
	Version   uint64     `json:"version"` // of the last event
}

// instance is one registered instance. Status is what checks said last: it is not what
// callers see when nobody has checked for a while, see [statusAt].
type instance struct {
	ID             string             `json:"id"`
	Version        string             `json:"version"`
	Host           string             `json:"host"`
	Port           int                `json:"port"`
	HealthEndpoint string             `json:"health_endpoint"`
	Check          registryapi.Check  `json:"check,omitzero"` // zero: not checked
	Status         registryapi.Status `json:"status"`
	Registered     time.Time          `json:"registered"` // tells it from an earlier one with the same id
}

// maxInstances bounds the instances of one name: they are one value in the read model.
const maxInstances = 200

func (s service) find(id string) (instance, bool) {
	i := slices.IndexFunc(s.Instances, func(i instance) bool { return i.ID == id })
	if i < 0 {
		return instance{}, false
	}
	return s.Instances[i], true
}

func (i instance) checked() bool { return i.Check != registryapi.Check{} }

// apply folds one event into a service.
func apply(s service, e event.Event, data event.Data) service {
	s.Name, s.Version = e.Subject, e.Version
	switch d := data.(type) {
	case registryapi.Registered:
		s.Instances = append(slices.Clip(s.Instances), instance{
			ID: d.Instance, Version: d.Version, Host: d.Host, Port: d.Port, HealthEndpoint: d.HealthEndpoint,
			Check: d.Check, Status: registryapi.StatusUnknown, Registered: d.Timestamp,
		})
	case registryapi.Deregistered:
		s.Instances = slices.DeleteFunc(slices.Clone(s.Instances), func(i instance) bool { return i.ID == d.Instance })
	case registryapi.CheckChanged:
		s = s.with(d.Instance, func(i *instance) { i.Check = d.Check })
	case registryapi.Healthy:
		s = s.withStatus(d.Instance, registryapi.StatusHealthy)
	case registryapi.Unhealthy:
		s = s.withStatus(d.Instance, registryapi.StatusUnhealthy)
	case registryapi.Started:
		s.Running = append(slices.Clip(s.Running), running{ID: d.Instance, Version: d.Version, Status: registryapi.StatusHealthy})
	case registryapi.Stopped:
		s.Running = slices.DeleteFunc(slices.Clone(s.Running), func(r running) bool { return r.ID == d.Instance })
	}
	return s
}

// withStatus returns s with the status of one instance changed.
func (s service) withStatus(id string, status registryapi.Status) service {
	if _, registered := s.find(id); registered {
		return s.with(id, func(i *instance) { i.Status = status })
	}
	s.Running = slices.Clone(s.Running)
	for n := range s.Running {
		if s.Running[n].ID == id {
			s.Running[n].Status = status
		}
	}
	return s
}

// with returns s with one instance changed.
func (s service) with(id string, change func(i *instance)) service {
	s.Instances = slices.Clone(s.Instances)
	for n := range s.Instances {
		if s.Instances[n].ID == id {
			change(&s.Instances[n])
		}
	}
	return s
}

// register decides whether an instance may come into being: id and address are its own.
func register(s service, r registryapi.Registered) ([]event.Data, error) {
	for _, i := range s.Instances {
		if i.ID == r.Instance {
			return nil, alreadyExists("id", "is registered already")
		}
		if i.Host == r.Host && i.Port == r.Port {
			return nil, alreadyExists("port", "is registered already for this host")
		}
	}
	if len(s.Instances) >= maxInstances {
		return nil, endpoint.Conflict("a service has at most " + strconv.Itoa(maxInstances) + " registered instances")
	}
	return []event.Data{r}, nil
}

// deregister decides which instances go: one, or all when id is empty.
func deregister(s service, id string, now time.Time) ([]event.Data, error) {
	return each(s, id, func(i instance) event.Data {
		return registryapi.Deregistered{About: about(s, i, now)}
	})
}

// changeCheck decides how instances are checked: one, or all when id is empty.
func changeCheck(s service, id string, check registryapi.Check, now time.Time) ([]event.Data, error) {
	return each(s, id, func(i instance) event.Data {
		if i.Check == check {
			return nil
		}
		return registryapi.CheckChanged{About: about(s, i, now), Check: check}
	})
}

// each returns what happens to one instance, or to all when id is empty.
func each(s service, id string, happens func(i instance) event.Data) ([]event.Data, error) {
	var events []event.Data
	found := false
	for _, i := range s.Instances {
		if id != "" && i.ID != id {
			continue
		}
		found = true
		if e := happens(i); e != nil {
			events = append(events, e)
		}
	}
	if !found {
		return nil, notFound()
	}
	return events, nil
}

// report decides what a verdict on an instance changes: nothing when that is its status
// already, or when the instance that was checked is not there any more.
func report(s service, checked instance, v verdict, now time.Time) ([]event.Data, error) {
	i, ok := s.find(checked.ID)
	if !ok || !i.Registered.Equal(checked.Registered) || i.Status == v.status {
		return nil, nil
	}
	return v.events(about(s, i, now)), nil
}

func about(s service, i instance, now time.Time) registryapi.About {
	return registryapi.About{Name: s.Name, Instance: i.ID, Timestamp: now}
}

// verdict is what checks say of an instance; the zero verdict says nothing yet.
type verdict struct {
	status registryapi.Status
	reason string // why it is unhealthy
}

// events returns what a verdict is in the history of the instance it is about.
func (v verdict) events(about registryapi.About) []event.Data {
	switch v.status {
	case registryapi.StatusHealthy:
		return []event.Data{registryapi.Healthy{About: about}}
	case registryapi.StatusUnhealthy:
		return []event.Data{registryapi.Unhealthy{About: about, Reason: v.reason}}
	default:
		return nil
	}
}

// judge takes in one check and the failures in a row before it: one success is enough to
// be healthy, and as many failures as retries make it unhealthy.
func judge(failures int, failure string, retries int) (now int, v verdict) {
	if failure == "" {
		return 0, verdict{status: registryapi.StatusHealthy}
	}
	if failures+1 < retries {
		return failures + 1, verdict{}
	}
	return retries, verdict{status: registryapi.StatusUnhealthy, reason: failure}
}

// The registry's errors. Their messages begin with the names that callers match on.
func alreadyExists(field, message string) *endpoint.Error {
	return endpoint.Conflict("service_already_exists: such an instance is registered already", endpoint.FieldError{Field: field, Message: message})
}

func notFound() *endpoint.Error {
	return endpoint.NotFound("service_not_found: there is no such service or instance", endpoint.FieldError{Field: "name", Message: "is not known"})
}

func healthCheckFailed(fields ...endpoint.FieldError) *endpoint.Error {
	e := endpoint.Unavailable("health_check_failed: not every instance is well")
	e.Fields = fields
	return e
}
