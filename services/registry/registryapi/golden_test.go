package registryapi_test

import (
	"flag"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/event/eventtest"
	"sluice/services/registry/registryapi"
)

var update = flag.Bool("update", false, "write the golden files of new events and versions")

// samples returns an event of each type, in the order of the registry.
func samples() []event.Data {
	about := registryapi.About{Name: eventtest.SampleID, Instance: "a", Timestamp: eventtest.SampleTime()}
	check := registryapi.Check{Interval: "10s", Timeout: "2s", Retries: 3}
	return []event.Data{
		registryapi.Registered{About: about, Version: "1.2.0", Host: "10.0.0.7", Port: 9000, HealthEndpoint: "/health", Check: check},
		registryapi.Deregistered{About: about},
		registryapi.CheckChanged{About: about, Check: check},
		registryapi.Healthy{About: about},
		registryapi.Unhealthy{About: about, Reason: "status 503"},
		registryapi.Started{About: about, Version: "1.2.0"},
		registryapi.Stopped{About: about},
	}
}

// TestEventsStayReadable holds the wire form of every event.
func TestEventsStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteEvents(t, registryapi.Events, "testdata", samples()...)
	}
	eventtest.CheckEvents(t, registryapi.Events, "testdata", samples()...)
}

// TestSchemasStayReadable holds what stored events look like. A golden schema only
// ever gains optional members; all else needs a new schema version.
func TestSchemasStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteSchemas(t, registryapi.Events, "testdata")
	}
	eventtest.CheckSchemas(t, registryapi.Events, "testdata")
}
