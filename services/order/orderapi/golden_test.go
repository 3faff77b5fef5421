package orderapi_test

import (
	"flag"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/event/eventtest"
	"sluice/services/order/orderapi"
)

var update = flag.Bool("update", false, "write the golden files of new events and versions")

// samples returns an event of each type, in the order of the registry.
func samples(t *testing.T) []event.Data {
	t.Helper()
	step := orderapi.Transition{OrderID: eventtest.SampleID, Reason: "as agreed", Timestamp: eventtest.SampleTime()}
	return []event.Data{
		orderapi.Created{
			OrderID: eventtest.SampleID, UserID: "0193e4c5-0000-7000-8000-00000000000b", Timestamp: eventtest.SampleTime(), TotalAmount: amount(t, "42.48", "EUR"),
			Items: []orderapi.Item{item(t, 2, "19.99", "EUR"), item(t, 1, "2.50", "EUR")},
		},
		orderapi.Confirmed{Transition: orderapi.Transition{OrderID: eventtest.SampleID, Timestamp: eventtest.SampleTime()}},
		orderapi.Shipped{Transition: step},
		orderapi.Delivered{Transition: step},
		orderapi.Cancelled{Transition: step},
	}
}

// TestEventsStayReadable holds the wire form of every event.
func TestEventsStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteEvents(t, orderapi.Events, "testdata", samples(t)...)
	}
	eventtest.CheckEvents(t, orderapi.Events, "testdata", samples(t)...)
}

// TestSchemasStayReadable holds what stored events look like. A golden schema only
// ever gains optional members; all else needs a new schema version.
func TestSchemasStayReadable(t *testing.T) {
	t.Parallel()
	if *update {
		eventtest.WriteSchemas(t, orderapi.Events, "testdata")
	}
	eventtest.CheckSchemas(t, orderapi.Events, "testdata")
}

// TestTimersStayReadable does the same for timers, which may be set in one release and
// due in the next.
func TestTimersStayReadable(t *testing.T) {
	t.Parallel()
	const folder = "testdata/timers"
	lapsed := orderapi.Lapsed{OrderID: eventtest.SampleID, Timestamp: eventtest.SampleTime()}
	if *update {
		eventtest.WriteEvents(t, orderapi.Timers, folder, lapsed)
		eventtest.WriteSchemas(t, orderapi.Timers, folder)
	}
	eventtest.CheckEvents(t, orderapi.Timers, folder, lapsed)
	eventtest.CheckSchemas(t, orderapi.Timers, folder)
}
