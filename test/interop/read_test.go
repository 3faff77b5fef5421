package interop_test

import (
	"context"
	"testing"

	cenats "github.com/cloudevents/sdk-go/protocol/nats/v2"
	cejetstream "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/client"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"

	"sluice/pkg/natstest"
	"sluice/test/program"
)

// notInBinary are the attributes that Sluice keeps in plain headers, as W3C Trace Context
// says: the SDK's binding reads headers with the prefix ce- alone. The position is no
// attribute of what is stored.
var notInBinary = []string{"traceparent", "tracestate", "position"}

// receive runs an SDK client on p until the test ends and hands over what it receives.
func receive(t *testing.T, p any) <-chan cloudevents.Event {
	t.Helper()
	c, err := client.New(p, client.WithPollGoroutines(1), client.WithBlockingCallback()) // else it mixes up the order
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan cloudevents.Event)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.StartReceiver(ctx, func(e cloudevents.Event) {
			select {
			case received <- e:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the SDK's receiver: %v", err)
		}
	})
	return received
}

// TestTheSDKReadsOurHistory: the SDK's JetStream consumer reads orders as they are stored.
func TestTheSDKReadsOurHistory(t *testing.T) {
	t.Parallel()
	srv, store := history(t)
	plain, coded := appendOrder(t, store, "req-1"), appendOrder(t, store, awkward)
	consumer, err := cejetstream.NewConsumer(srv.URL(), "ORDERS", "order.*.*", nil, nil,
		[]nats.SubOpt{nats.DeliverAll(), nats.BindStream("ORDERS"), nats.OrderedConsumer()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consumer.Conn.Close)
	received := receive(t, consumer)
	for _, want := range plain {
		wantEqual(t, within(t.Context(), t, received), toSDK(t, want), notInBinary...)
	}
	for _, want := range coded {
		got := within(t.Context(), t, received)
		if raw := got.Extensions()["correlationid"]; raw == awkward {
			t.Errorf("the SDK has come to decode percent-encoding: %q", raw)
		}
		wantEqual(t, decoded(t, got), toSDK(t, want), notInBinary...)
	}
}

// TestTheSDKReadsTheLiveFeed: what a plain subscriber gets, the SDK's JetStream message
// reads; its binding to NATS, without headers, does not.
func TestTheSDKReadsTheLiveFeed(t *testing.T) {
	t.Parallel()
	srv, store := history(t)
	nc := srv.Connect(t)
	feed, err := nc.SubscribeSync("feed.order.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range appendOrder(t, store, awkward) {
		m, err := feed.NextMsg(program.Patience)
		if err != nil {
			t.Fatal(err)
		}
		got, err := binding.ToEvent(t.Context(), cejetstream.NewMessage(m))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, decoded(t, *got), toSDK(t, want), notInBinary...)
		if got, err := binding.ToEvent(t.Context(), cenats.NewMessage(m)); err == nil && got.Validate() == nil {
			t.Errorf("the binding to NATS has come to read binary mode: %v", got)
		}
	}
}

// TestTheSDKReadsStructuredEvents: the form that Sluice gives events in JSON, in histories
// and feeds over HTTP, goes through the SDK's binding to NATS with nothing lost.
func TestTheSDKReadsStructuredEvents(t *testing.T) {
	t.Parallel()
	srv, store := history(t)
	consumer, err := cenats.NewConsumer(srv.URL(), "partner.orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consumer.Conn.Close)
	subscribed := make(chan struct{})
	consumer.Subscriber = flushed{subscribed}
	received := receive(t, consumer)
	within(t.Context(), t, subscribed)
	nc := natstest.Dial(t, srv.URL())
	for _, want := range appendOrder(t, store, awkward) {
		body, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish("partner.orders", body); err != nil {
			t.Fatal(err)
		}
		got := within(t.Context(), t, received)
		wantEqual(t, got, toSDK(t, want))
		if got.Extensions()["correlationid"] != awkward {
			t.Errorf("correlationid is %q", got.Extensions()["correlationid"])
		}
	}
}

// flushed subscribes and says so when the server knows.
type flushed struct{ done chan struct{} }

// Subscribe subscribes to subject.
func (f flushed) Subscribe(nc *nats.Conn, subject string, handle nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := nc.Subscribe(subject, handle)
	if err != nil {
		return nil, err
	}
	defer close(f.done)
	return sub, nc.Flush()
}
