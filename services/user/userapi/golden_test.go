package userapi_test

import (
	"flag"
	"testing"

	"sluice/pkg/auth"
	"sluice/pkg/event"
	"sluice/pkg/event/eventtest"
	"sluice/services/user/userapi"
)

var update = flag.Bool("update", false, "write the golden files of new events and versions")

// samples returns an event of each type, in the order of the registry.
func samples(*testing.T) []event.Data {
	return []event.Data{
		userapi.Created{UserID: eventtest.SampleID, Username: "Zoë", Email: "zoe@example.com", Timestamp: eventtest.SampleTime()},
		userapi.Changed{UserID: eventtest.SampleID, Username: "Zoë", Email: "zoe@example.org", Timestamp: eventtest.SampleTime()},
		userapi.RolesChanged{UserID: eventtest.SampleID, Roles: []auth.Role{auth.Operator, auth.Admin}, Timestamp: eventtest.SampleTime()},
		userapi.Erased{UserID: eventtest.SampleID, Timestamp: eventtest.SampleTime()},
	}
}

// TestEventsStayReadable holds the wire form of every event.
func TestEventsStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteEvents(t, userapi.Events, "testdata", samples(t)...)
	}
	eventtest.CheckEvents(t, userapi.Events, "testdata", samples(t)...)
}

// TestSchemasStayReadable holds what stored events look like. A golden schema only
// ever gains optional members; all else needs a new schema version.
func TestSchemasStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteSchemas(t, userapi.Events, "testdata")
	}
	eventtest.CheckSchemas(t, userapi.Events, "testdata")
}
