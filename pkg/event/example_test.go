package event_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sluice/pkg/event"
)

type bought struct {
	Ticket string `json:"ticket"`
}

func (bought) EventType() string { return "seat.bought" }

type cancelled struct {
	Refund bool `json:"refund"`
}

func (cancelled) EventType() string { return "seat.cancelled" }

// cancelledV1 is how seats were cancelled in the beginning.
type cancelledV1 struct {
	Fee int `json:"fee"`
}

// A type changes in a new version. What was written before is read as if it had been
// written today.
func ExampleFrom() {
	seats := event.NewRegistry("seat", event.Define[cancelled](2,
		event.From(1, func(c cancelledV1) cancelled { return cancelled{Refund: c.Fee == 0} })))

	stored := event.Event{
		Type: "seat.cancelled", Subject: "12a", DataSchema: "sluice:/schemas/seat.cancelled/v1", Data: []byte(`{"fee":0}`),
	}
	data, err := seats.Decode(stored)
	fmt.Printf("%+v %v\n", data, err)
	// Output:
	// {Refund:true} <nil>
}

// An event is data with an envelope; on NATS the envelope is headers and the data is
// the body.
func Example() {
	seats := event.NewRegistry("seat", event.Define[bought](1))
	ctx := event.WithMetadata(context.Background(), event.Metadata{CorrelationID: "request 1"})

	e, err := seats.New(ctx, "12a", bought{Ticket: "t-7"})
	if err != nil {
		fmt.Println(err)
		return
	}
	header, body := event.Encode(e)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name != "ce-id" && name != "ce-time" { // they differ each time
			fmt.Println(name+":", header[name][0])
		}
	}
	fmt.Println(string(body))

	read, err := event.Decode(header, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := seats.Decode(read)
	fmt.Printf("%s %+v %v\n", read.HistorySubject(), data, err)
	// Output:
	// ce-correlationid: request%201
	// ce-dataschema: sluice:/schemas/seat.bought/v1
	// ce-source: /services/seat
	// ce-specversion: 1.0
	// ce-subject: 12a
	// ce-type: seat.bought
	// content-type: application/json
	// {"ticket":"t-7"}
	// seat.bought.12a {Ticket:t-7} <nil>
}
