package event_test

import (
	"testing"
	"time"

	"sluice/pkg/event"
)

func TestAttributesByName(t *testing.T) {
	t.Parallel()
	e := event.Event{
		ID: "1", Source: "/services/order", Type: "order.created", Subject: "o-1", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600)),
		CorrelationID: "c", UserID: "ada", Version: 3, Extensions: map[string]string{"region": "eu", "empty": ""},
	}
	for name, want := range map[string]string{
		"specversion": "1.0", "id": "1", "source": "/services/order", "type": "order.created", "subject": "o-1", "time": "2026-01-02T02:04:05.000000006Z",
		"correlationid": "c", "userid": "ada", "aggregateversion": "3", "region": "eu", "empty": "",
	} {
		if got, ok := e.Attribute(name); !ok || got != want {
			t.Errorf("%s is %q, %t", name, got, ok)
		}
	}
	e.Time, e.Version = time.Time{}, 0
	for _, name := range []string{"causationid", "dataschema", "time", "aggregateversion", "Type", "nothing"} {
		if got, ok := e.Attribute(name); ok {
			t.Errorf("%s is %q", name, got)
		}
	}
}
