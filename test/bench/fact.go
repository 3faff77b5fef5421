package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// noted is the data of every event here: a few fields, 256 bytes of JSON.
type noted struct {
	OrderID string    `json:"order_id"`
	UserID  string    `json:"user_id"`
	Amount  int       `json:"amount"`
	Note    string    `json:"note"`
	Time    time.Time `json:"timestamp"`
}

// EventType is its wire name.
func (noted) EventType() string { return "order.noted" }

var events = event.NewRegistry("order", event.Define[noted](1))

// The streams of the sides. Their names are of one length, so that messages are too.
var (
	orders = eventstore.Stream{Name: "ORDERS", Entity: "order"}
	plains = eventstore.Stream{Name: "PLAINS", Entity: "plain"} // raw nats.go
	waters = eventstore.Stream{Name: "WATERS", Entity: "water"} // watermill
	clouds = eventstore.Stream{Name: "CLOUDS", Entity: "cloud"} // the CloudEvents SDK
)

// fact is the one event everybody writes.
func fact() noted {
	return noted{
		OrderID: "0193e4c5-7a6b-7c8d-9e0f-112233445567", UserID: "0193e4c5-7a6b-7c8d-9e0f-112233445568",
		Amount: 1999, Note: strings.Repeat("x", 87), Time: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC),
	}
}

// commanded returns ctx as an endpoint's handler gets it: every command has an id.
func commanded(ctx context.Context) context.Context {
	id := event.NewID()
	return event.WithMetadata(ctx, event.Metadata{CorrelationID: id, CausationID: id})
}

// newFact returns a typed event of aggregate id, as a command makes it.
func newFact(ctx context.Context, id string) (event.Event, error) {
	return events.New(commanded(ctx), id, fact())
}

// disguised returns e as an event of another entity, with a name of the same length.
func disguised(e event.Event, entity string) event.Event {
	e.Type = entity + strings.TrimPrefix(e.Type, events.Entity())
	e.Source = strings.Replace(e.Source, events.Entity(), entity, 1)
	e.DataSchema = strings.Replace(e.DataSchema, events.Entity(), entity, 1)
	return e
}

// wire returns the very message that Append writes for e when the aggregate's last
// message is at sequence last.
func wire(e event.Event, last uint64) *nats.Msg {
	header, body := event.Encode(e)
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(last, 10)}
	header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{eventstore.Stream{Entity: e.Entity()}.Of(e.Subject)}
	return &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body}
}
