package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"sluice/pkg/event"
)

// sample is a typical event of history: 249 bytes of data, all attributes of ours.
func sample() event.Event {
	return event.Event{
		ID: "0193e4c5-7a6b-7c8d-9e0f-112233445566", Source: "/services/order", Type: "order.created",
		Subject: "0193e4c5-7a6b-7c8d-9e0f-112233445567", Time: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC),
		DataSchema: "sluice:/schemas/order.created/v1", DataContentType: event.ContentType,
		Data:          []byte(`{"note":"` + strings.Repeat("x", 238) + `"}`),
		CorrelationID: "0193e4c5-7a6b-7c8d-9e0f-112233445568", CausationID: "0193e4c5-7a6b-7c8d-9e0f-112233445569",
		Version: 3, Previous: []uint64{1001, 950}, Step: 1,
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

func BenchmarkEncode(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		event.Encode(e)
	}
}

func BenchmarkDecode(b *testing.B) {
	header, body := event.Encode(sample())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(header, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSDKEncode is what the same event costs with the SDK, in the structured
// mode of its NATS binding.
func BenchmarkSDKEncode(b *testing.B) {
	ce, err := sample().CloudEvent()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(ce); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSDKDecode reads what BenchmarkSDKEncode writes.
func BenchmarkSDKDecode(b *testing.B) {
	written, err := json.Marshal(sample())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var ce cloudevents.Event
		if err := ce.UnmarshalJSON(written); err != nil {
			b.Fatal(err)
		}
	}
}
