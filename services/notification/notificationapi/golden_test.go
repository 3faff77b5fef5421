package notificationapi_test

import (
	"flag"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/event/eventtest"
	"sluice/services/notification/notificationapi"
)

var update = flag.Bool("update", false, "write the golden files of new events and versions")

// samples returns an event of each type, in the order of the registry.
func samples(*testing.T) []event.Data {
	about := notificationapi.About{
		NotificationID: "0193e4c5-0000-8000-8000-00000000000a", UserID: "0193e4c5-0000-7000-8000-00000000000b", Kind: notificationapi.KindWelcome,
		EventID: "0193e4c5-0000-7000-8000-00000000000c", Timestamp: eventtest.SampleTime(),
	}
	order := about
	order.Kind, order.OrderID = notificationapi.KindOrderConfirmation, "0193e4c5-0000-7000-8000-00000000000f"
	return []event.Data{notificationapi.Sent{About: about}, notificationapi.Failed{About: order}}
}

// TestEventsStayReadable holds the wire form of every event.
func TestEventsStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteEvents(t, notificationapi.Events, "testdata", samples(t)...)
	}
	eventtest.CheckEvents(t, notificationapi.Events, "testdata", samples(t)...)
}

// TestSchemasStayReadable holds what stored events look like. A golden schema only
// ever gains optional members; all else needs a new schema version.
func TestSchemasStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteSchemas(t, notificationapi.Events, "testdata")
	}
	eventtest.CheckSchemas(t, notificationapi.Events, "testdata")
}
