// Package interop_test holds Sluice against what others read and write CloudEvents with:
// the official SDK, its bindings to NATS, JetStream and HTTP. Sluice's events must arrive
// there whole, and theirs must arrive here.
//
// The SDK's binding to NATS knows structured mode only. Its binding to JetStream knows
// both, but in binary mode neither writes nor reads the percent-encoding that the CloudEvents
// specification asks for, and it writes the content type as ce-datacontenttype. Each test
// says what holds all the same.
package interop_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/bojanz/currency"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/services/order/orderapi"
	"sluice/streams"
	"sluice/test/program"
)

// awkward is text that has to be encoded in headers.
const awkward = `été „100 %“ 50%25 Straße/Łódź 日本 🚚 "x" a+b`

// unencoded is text as awkward as it may be where nobody encodes.
const unencoded = `été „100 %“ Straße/Łódź 日本 🚚 "x" a+b`

func placed(t testing.TB) orderapi.Created {
	t.Helper()
	price, err := currency.NewAmount("19.99", "EUR")
	if err != nil {
		t.Fatal(err)
	}
	items := []orderapi.Item{{ProductID: "p-ü%41", Quantity: 2, Price: price}}
	total, wrong := orderapi.Total(items)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return orderapi.Created{OrderID: event.NewID(), UserID: event.NewID(), Items: items, TotalAmount: total, Timestamp: time.Now().UTC()}
}

// history returns a server with a history stream of orders, and its store.
func history(t *testing.T) (*natstest.Server, *eventstore.Store) {
	t.Helper()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	if _, err := js.CreateStream(t.Context(), eventstore.HistoryConfig(streams.Orders)); err != nil {
		t.Fatal(err)
	}
	return srv, eventstore.New(js, streams.Orders, orderapi.Events)
}

// appendOrder stores an order that was placed, and then confirmed and shipped at once. Text
// is in all that takes text.
func appendOrder(t *testing.T, store *eventstore.Store, text string) []event.Event {
	t.Helper()
	data := placed(t)
	ctx := event.WithMetadata(t.Context(), event.Metadata{CorrelationID: text, CausationID: "c-" + text, UserID: data.UserID, Fingerprint: "f"})
	var (
		stored []event.Event
		tail   eventstore.Tail
	)
	step := orderapi.Transition{OrderID: data.OrderID, Timestamp: data.Timestamp}
	for _, decision := range [][]event.Data{{data}, {orderapi.Confirmed{Transition: step}, orderapi.Shipped{Transition: step}}} {
		events := make([]event.Event, len(decision))
		for i, d := range decision {
			e, err := orderapi.Events.New(ctx, data.OrderID, d)
			if err != nil {
				t.Fatal(err)
			}
			e.Extensions = map[string]string{"partner": text, "tenant": "acme"}
			e.TraceParent, e.TraceState = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b"
			events[i] = e
		}
		var err error
		if tail, err = store.Append(ctx, data.OrderID, tail, events); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, events...)
	}
	return stored
}

// attributes returns the context attributes of e, extensions too, as text.
func attributes(t testing.TB, e cloudevents.Event) map[string]string {
	t.Helper()
	if err := e.Validate(); err != nil {
		t.Errorf("the SDK does not take it for an event: %v", err)
	}
	all := map[string]string{
		"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(),
		"time": e.Time().UTC().Format(time.RFC3339Nano), "dataschema": e.DataSchema(), "datacontenttype": e.DataContentType(),
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			t.Errorf("extension %s: %v", name, err)
		}
		all[name] = text
	}
	return all
}

// wantEqual wants the same attributes, but for those that are left out, and the same data.
func wantEqual(t testing.TB, got, want cloudevents.Event, leftOut ...string) {
	t.Helper()
	has, wants := attributes(t, got), attributes(t, want)
	for _, name := range leftOut {
		delete(has, name)
		delete(wants, name)
	}
	if !maps.Equal(has, wants) {
		for _, name := range slices.Sorted(maps.Keys(wants)) {
			if has[name] != wants[name] {
				t.Errorf("%s is %q, want %q", name, has[name], wants[name])
			}
		}
		t.Errorf("attributes are %v, want %v", has, wants)
	}
	if string(got.Data()) != string(want.Data()) {
		t.Errorf("data is %s, want %s", got.Data(), want.Data())
	}
}

// decoded returns e with percent-encoded attributes decoded, which the SDK leaves to its
// users in binary mode.
func decoded(t testing.TB, e cloudevents.Event) cloudevents.Event {
	t.Helper()
	e = e.Clone()
	for name, value := range e.Extensions() {
		text, err := url.PathUnescape(fmt.Sprint(value))
		if err != nil {
			t.Fatalf("extension %s: %v", name, err)
		}
		e.SetExtension(name, text)
	}
	return e
}

func toSDK(t testing.TB, e event.Event) cloudevents.Event {
	t.Helper()
	ce, err := e.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	return ce
}

// within returns what comes out of c, and fails the test when nothing does.
func within[T any](ctx context.Context, t testing.TB, c <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, program.Patience)
	defer cancel()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatalf("waited %s in vain", program.Patience)
		panic("unreachable")
	}
}
