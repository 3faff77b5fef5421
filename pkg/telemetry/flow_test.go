package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/config"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/pkg/telemetry"
)

type made struct {
	Name string `json:"name"`
}

func (made) EventType() string { return "thing.made" }

type named struct {
	Name string `json:"name"`
}

func (named) EventType() string { return "thing.named" }

type thing struct{ Name string }

var (
	things     = eventstore.Stream{Name: "THINGS", Entity: "thing"}
	thingTypes = event.NewRegistry("thing", event.Define[made](1), event.Define[named](1))
	namers     = bus.Group{Stream: "THINGS", Name: "namer", MaxAttempts: 3, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}
)

const (
	snapshots = "thing-snapshots"
	names     = "thing-names"
	personal  = "ada@example.com" // stands in data and in errors, and nowhere else
)

// flow does with the server what services do, so that everything that can be measured
// is, and returns what a scrape says then.
func flow(ctx context.Context, t *telemetry.Telemetry, url string) (trace, scrape string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	nc, err := nats.Connect(url)
	if err != nil {
		return "", "", err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return "", "", err
	}
	observer := telemetry.ObserveJetStream(js, nil, t.Log)
	store := eventstore.New(js, things, thingTypes)
	all := aggregate.New(store, func(s thing, _ event.Event, data event.Data) thing {
		if d, ok := data.(named); ok {
			s.Name = d.Name
		}
		return s
	})
	kept := all.Snapshots(snapshots, aggregate.SnapshotConfig{Every: 1})
	view := projection.KV(js, names, func(tx *projection.Tx[thing], e event.Event, _ event.Data) error {
		tx.Put(e.Subject, thing{Name: "x"})
		return nil
	})
	following := view.Follow(store, projection.Config{Log: slog.New(slog.DiscardHandler)})
	handled := make(chan string, 10)
	wanted, err := config.Compile([]config.Condition{{Attribute: "subject", NotEquals: config.Text("unwanted")}})
	if err != nil {
		return "", "", err
	}
	group := namers
	group.Route = &bus.Route{Types: []string{made{}.EventType()}, Filter: wanted}
	consumer := bus.Consume(js, group, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[made]) error {
		n, _ := bus.Attempt(ctx)
		if n == 1 {
			return fmt.Errorf("no mail to %s", personal)
		}
		if e.Subject == "bad" {
			handled <- e.Subject
			return bus.Drop(errors.New(personal))
		}
		_, err := all.Do(ctx, aggregate.Command[thing]{ID: e.Subject, Decide: func(thing) ([]event.Data, error) {
			return []event.Data{named{Name: personal}}, nil
		}})
		handled <- e.Subject
		return err
	}))
	for _, part := range []interface {
		Start(context.Context) error
		Stop(context.Context) error
	}{observer, kept, following, consumer} {
		if err := part.Start(telemetry.WithService(ctx, "user")); err != nil {
			return "", "", err
		}
		defer func() { err = errors.Join(err, part.Stop(context.WithoutCancel(ctx))) }()
	}
	if trace, err = makeThings(ctx, all); err != nil {
		return "", "", err
	}
	for range 2 {
		select {
		case <-handled:
		case <-ctx.Done():
			return "", "", ctx.Err()
		}
	}
	if err := spoil(ctx, js, store); err != nil {
		return "", "", err
	}
	if scrape, err = scrapeUntilComplete(ctx); err != nil {
		return trace, scrape, err
	}
	meters, ok := otel.GetMeterProvider().(interface{ ForceFlush(context.Context) error })
	if !ok {
		return trace, scrape, errors.New("the metrics cannot be flushed")
	}
	return trace, scrape, meters.ForceFlush(ctx)
}

// makeThings makes a good one, a bad one and one that nobody wants, and returns the trace of the good one.
func makeThings(ctx context.Context, all *aggregate.Aggregates[thing]) (string, error) {
	trace := ""
	for _, id := range []string{"unwanted", "bad", "good"} {
		request, span := telemetry.Start(telemetry.WithService(ctx, "order"), "request")
		_, err := all.Do(request, aggregate.Command[thing]{ID: id, Create: true, Decide: func(thing) ([]event.Data, error) {
			return []event.Data{made{Name: personal}}, nil
		}})
		trace = telemetry.TraceID(request)
		span.End()
		if err != nil {
			return "", err
		}
		if _, err := all.Get(ctx, id); err != nil {
			return "", err
		}
	}
	_, err := all.Get(ctx, "absent") // which no snapshot has either
	if !errors.Is(err, aggregate.ErrNotFound) {
		return "", fmt.Errorf("a thing that nobody made: %w", err)
	}
	return trace, nil
}

// spoil has a load find what is not history, which it repairs, and an append lose.
func spoil(ctx context.Context, js jetstream.JetStream, store *eventstore.Store) error {
	if _, err := js.Publish(ctx, "thing.made.bad", []byte("junk")); err != nil {
		return err
	}
	if _, _, err := store.Load(ctx, "bad"); err != nil {
		return err
	}
	e, err := thingTypes.New(ctx, "good", named{Name: "late"})
	if err != nil {
		return err
	}
	request, span := telemetry.Start(ctx, "late request")
	defer span.End()
	if _, err := store.Append(request, "good", eventstore.Tail{}, []event.Event{e}); !errors.Is(err, eventstore.ErrConflict) {
		return fmt.Errorf("an append after a stale tail: %w", err)
	}
	return nil
}

// scrapeUntilComplete scrapes until the server's state is there too, which is looked up
// when it is first asked for, and the dead letter, which is stored beside.
func scrapeUntilComplete(ctx context.Context) (string, error) {
	for {
		w := httptest.NewRecorder()
		telemetry.MetricsHandler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/metrics", nil))
		text := w.Body.String()
		if contains(text, "sluice_jetstream_consumer_waiting{", `sluice_deadletter_reason="dropped"} 1`, "sluice_aggregate_snapshots_total{",
			"sluice_projection_commit_duration_seconds_count{", "sluice_handler_filtered_total{",
			"sluice_projection_lag{", `sluice_handler_held{messaging_consumer_group_name="namer",messaging_destination_name="THINGS",messaging_system="nats"} 0`) {
			return text, nil
		}
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return text, fmt.Errorf("%w: the scrape has only\n%s", ctx.Err(), text)
		}
	}
}
