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

// TestAlertsStayReadable does the same for alerts.
func TestAlertsStayReadable(t *testing.T) {
	t.Parallel()
	const folder = "testdata/alerts"
	about := registryapi.AboutAlert{
		AlertID: eventtest.SampleID, Kind: registryapi.AlertDeadLetters, Subject: "notification-users",
		Reason: "3 dead letters, more than 0", Timestamp: eventtest.SampleTime(),
	}
	samples := []event.Data{
		registryapi.AlertRaised{AboutAlert: about, Since: eventtest.SampleTime()},
		registryapi.AlertResolved{AboutAlert: about, RaisedAt: eventtest.SampleTime()},
	}
	if *update {
		eventtest.WriteEvents(t, registryapi.AlertEvents, folder, samples...)
		eventtest.WriteSchemas(t, registryapi.AlertEvents, folder)
	}
	eventtest.CheckEvents(t, registryapi.AlertEvents, folder, samples...)
	eventtest.CheckSchemas(t, registryapi.AlertEvents, folder)
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
