package registry

import (
	"slices"
	"time"

	"sluice/pkg/event"
	"sluice/services/registry/registryapi"
)

// running is one instance on NATS. Nobody registers it: it is found by asking.
type running struct {
	ID      string             `json:"id"` // of this run of the process
	Version string             `json:"version"`
	Status  registryapi.Status `json:"status"` // that it has said of itself; healthy until then
}

func (s service) findRunning(id string) (running, bool) {
	i := slices.IndexFunc(s.Running, func(r running) bool { return r.ID == id })
	if i < 0 {
		return running{}, false
	}
	return s.Running[i], true
}

// census is what was found out about the instances of one service on NATS.
type census struct {
	name     string
	here     []running              // those that answer
	gone     []string               // ids of those that have been silent for too long
	verdicts map[instanceID]verdict // on those that say how they are
}

// take decides what a census changes: nothing that the history has already, so that of
// several which say the same one does.
func take(s service, c census, now time.Time) []event.Data {
	about := func(id string) registryapi.About {
		return registryapi.About{Name: c.name, Instance: id, Timestamp: now}
	}
	var events []event.Data
	count := len(s.Running)
	for _, id := range c.gone {
		if _, there := s.findRunning(id); there {
			events = append(events, registryapi.Stopped{About: about(id)})
			count--
		}
	}
	for _, r := range c.here {
		before, there := s.findRunning(r.ID)
		if !there {
			if count >= maxInstances {
				continue
			}
			count++
			before.Status = registryapi.StatusHealthy
			events = append(events, registryapi.Started{About: about(r.ID), Version: r.Version})
		}
		if v := c.verdicts[instanceID{c.name, r.ID}]; v.status != before.Status {
			events = append(events, v.events(about(r.ID))...)
		}
	}
	return events
}
