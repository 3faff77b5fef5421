package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/sdk/metric"

	"sluice/pkg/bus"
	"sluice/pkg/config"
	"sluice/pkg/event"
)

// erased is an event that no route keeps from a group.
type erased struct {
	N int `json:"n"`
}

func (erased) EventType() string { return "order.erased" }

var routed = event.NewRegistry("order", event.Define[placed](1), event.Define[erased](1))

func filterOf(t *testing.T, conditions ...config.Condition) config.Filter {
	t.Helper()
	f, err := config.Compile(conditions)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (w *world) publish(t *testing.T, id string, data event.Data) {
	t.Helper()
	e, err := routed.New(event.WithMetadata(t.Context(), event.Metadata{CorrelationID: "c", UserID: id}), id, data)
	if err != nil {
		t.Fatal(err)
	}
	header, body := event.Encode(e)
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body}); err != nil {
		t.Fatal(err)
	}
}

// TestRoute: what the filter of a route leaves out is settled without being handled, and
// counted; what is not routed always comes.
func TestRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *jetstream.ConsumerConfig) { cfg.FilterSubjects = []string{"order.placed.*", "order.erased.*"} })
	reader := metric.NewManualReader()
	g := group
	g.Route = &bus.Route{
		Types: []string{"order.placed"},
		Filter: filterOf(t, config.Condition{Attribute: "userid", NotEquals: config.Text("ada")},
			config.Condition{Data: "n", Greater: config.Number("1")}),
	}
	got := make(chan int, 100)
	startGroup(t, w.js, g, bus.Config{Meters: metric.NewMeterProvider(metric.WithReader(reader))},
		bus.On(func(_ context.Context, e event.Of[placed]) error { got <- e.Data.N; return nil }),
		bus.On(func(_ context.Context, e event.Of[erased]) error { got <- 100 + e.Data.N; return nil }))
	for n := range 4 {
		w.publish(t, "bob", placed{N: n})
		w.publish(t, "ada", placed{N: n})
	}
	w.publish(t, "ada", erased{N: 0})
	w.settled(t, 9)
	handled := map[int]bool{}
	for _, n := range receive(t, got, 3) {
		handled[n] = true
	}
	if !handled[2] || !handled[3] || !handled[100] || len(got) > 0 {
		t.Errorf("handled %v and %d more", handled, len(got))
	}
	if n := measured(t, reader)["sluice.handler.filtered"]; n != 6 {
		t.Errorf("%v were counted as left out", n)
	}
	w.letters(t, 0)
}

// TestRouteHasItsConsumer: the consumer has to filter on what the route says, no more and
// no less, or nothing starts.
func TestRouteHasItsConsumer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *jetstream.ConsumerConfig) {
		cfg.FilterSubjects = []string{"order.placed.bob", "order.erased.*"}
	})
	handlers := []bus.Handler{
		bus.On(func(context.Context, event.Of[placed]) error { return nil }),
		bus.On(func(context.Context, event.Of[erased]) error { return nil }),
	}
	for want, route := range map[string]*bus.Route{
		"": {Types: []string{"order.placed"}, Subjects: []string{"order.placed.bob"}},

		"is routed [order.erased.* order.placed.ada]": {Types: []string{"order.placed"}, Subjects: []string{"order.placed.ada"}},
		"is routed [order.erased.* order.placed.*]":   {Types: []string{"order.placed"}},
		"not the handled types":                       nil,
	} {
		g := group
		g.Route = route
		c := bus.Consume(w.js, g, bus.Config{}, handlers...)
		err := c.Start(t.Context())
		if want == "" {
			if err != nil {
				t.Fatal(err)
			}
			stop(t, c)
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestRedrivenLettersAreNotRouted: somebody wants them handled.
func TestRedrivenLettersAreNotRouted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.redrivable(t, group.Name)
	first := startGroup(t, w.js, g, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return bus.Drop(errFlaky) }))
	w.publish(t, "ada", placed{N: 1})
	letter := w.letters(t, 1)[0]
	stop(t, first)
	g.Route = &bus.Route{Types: []string{"order.placed"}, Filter: filterOf(t, config.Condition{Data: "n", Greater: config.Number("5")})}
	got := make(chan int, 10)
	startGroup(t, w.js, g, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error { got <- e.Data.N; return nil }))
	if err := bus.NewLetterbox(w.js).Redrive(t.Context(), letter.ID); err != nil {
		t.Fatal(err)
	}
	inOrder(t, got, 1, 1)
	w.empty(t)
}
