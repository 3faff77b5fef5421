package interop_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	cenats "github.com/cloudevents/sdk-go/protocol/nats/v2"
	cejetstream "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/client"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/services/order/orderapi"
	"sluice/test/program"
)

// theirs is an event as a user of the SDK makes it.
func theirs(t testing.TB, kind, subject, text string, data any) cloudevents.Event {
	t.Helper()
	e := cloudevents.New()
	e.SetID("their-" + event.NewID())
	e.SetSource("https://partner.example/shop?x=1")
	e.SetType(kind)
	e.SetSubject(subject)
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.FixedZone("", 3600)))
	for name, value := range map[string]any{
		"correlationid": text, "partner": text, "attempt": 3, "express": true,
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		e.SetExtension(name, value)
	}
	if err := e.SetData(cloudevents.ApplicationJSON, data); err != nil {
		t.Fatal(err)
	}
	return e
}

// structured makes the SDK send in structured mode what it would send in binary mode.
func structured(ctx context.Context) context.Context { return binding.WithForceStructured(ctx) }

func plainly(ctx context.Context) context.Context { return ctx }

// sending is a way of the SDK to publish on a subject of a stream.
type sending struct {
	name string
	mode func(context.Context) context.Context
	text string // what it carries unharmed
	open func(t testing.TB, url, stream, subject string) protocol.Sender
}

func overNATS(t testing.TB, url, _, subject string) protocol.Sender {
	t.Helper()
	s, err := cenats.NewSender(url, subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Conn.Close)
	return s
}

func overJetStream(t testing.TB, url, stream, subject string) protocol.Sender {
	t.Helper()
	s, err := cejetstream.NewSender(url, stream, subject, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Conn.Close)
	return s
}

// sendings are all that the SDK has for NATS. In binary mode it does not percent-encode, so
// a percent sign that two hexadecimal digits follow says something else to who decodes.
var sendings = []sending{
	{"NATS", plainly, awkward, overNATS}, // structured, it knows nothing else
	{"JetStream structured", structured, awkward, overJetStream},
	{"JetStream binary", plainly, unencoded, overJetStream},
}

func send(t testing.TB, ctx context.Context, to any, e cloudevents.Event) {
	t.Helper()
	c, err := client.New(to)
	if err != nil {
		t.Fatal(err)
	}
	if result := c.Send(ctx, e); !protocol.IsACK(result) {
		t.Fatalf("send %s: %v", e.Type(), result)
	}
}

// TestWeReadWhatTheSDKSends: an event that the SDK publishes is read as it was meant, with
// every attribute and extension.
func TestWeReadWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	for _, s := range sendings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			srv, _ := history(t)
			nc := srv.Connect(t)
			sub, err := nc.SubscribeSync("order.>")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			data := placed(t)
			sent := theirs(t, data.EventType(), data.OrderID, s.text, data)
			send(t, s.mode(t.Context()), s.open(t, srv.URL(), "ORDERS", "order.created."+data.OrderID), sent)
			m, err := sub.NextMsg(program.Patience)
			if err != nil {
				t.Fatal(err)
			}
			got, err := event.Decode(m.Header, m.Data)
			if err != nil {
				t.Fatalf("%v: %s %s", err, m.Header, m.Data)
			}
			wantEqual(t, toSDK(t, got), sent)
			if got.CorrelationID != s.text || got.Extensions["partner"] != s.text || got.Extensions["attempt"] != "3" || got.Extensions["express"] != "true" {
				t.Errorf("read %+v", got)
			}
			typed, err := orderapi.Events.Decode(got)
			if created, ok := typed.(orderapi.Created); err != nil || !ok || created.OrderID != data.OrderID || !created.TotalAmount.Equal(data.TotalAmount) {
				t.Errorf("the data is %+v, %v", typed, err)
			}
		})
	}
}

// TestAPercentSignFromTheSDK: what is lost where the SDK does not encode and the reader,
// as the specification says, decodes.
func TestAPercentSignFromTheSDK(t *testing.T) {
	t.Parallel()
	e := theirs(t, "order.created", event.NewID(), "50%41", struct{}{})
	m := binding.ToMessage(&e)
	var body bytes.Buffer
	header, err := cejetstream.WriteMsg(t.Context(), m, &body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := event.Decode(header, body.Bytes()); err != nil || got.CorrelationID != "50A" {
		t.Errorf("read %q, %v", got.CorrelationID, err)
	}
	body.Reset()
	if header, err = cejetstream.WriteMsg(structured(t.Context()), m, &body); err != nil {
		t.Fatal(err)
	}
	if got, err := event.Decode(header, body.Bytes()); err != nil || got.CorrelationID != "50%41" {
		t.Errorf("read %q, %v in structured mode", got.CorrelationID, err)
	}
}

// TestWhatTheSDKSendsIntoHistoryDoesNotCount: nobody but its owner writes history, however
// well-formed an event is.
func TestWhatTheSDKSendsIntoHistoryDoesNotCount(t *testing.T) {
	t.Parallel()
	srv, store := history(t)
	stored := appendOrder(t, store, awkward)
	id := stored[0].Subject
	for _, s := range sendings {
		step := orderapi.Transition{OrderID: id, Timestamp: time.Now()}
		sent := theirs(t, "order.delivered", id, "x", orderapi.Delivered{Transition: step})
		send(t, s.mode(t.Context()), s.open(t, srv.URL(), "ORDERS", "order.delivered."+id), sent)
	}
	events, tail, err := store.LoadLatest(t.Context(), id, eventstore.Tail{})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != len(stored) || tail.Version != uint64(len(stored)) {
		t.Errorf("the order has %d events, at version %d, and %d were appended", len(events), tail.Version, len(stored))
	}
}
