package aggregate

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The kinds of snapshots that were not written, as error.type has them.
const (
	notDropped  = "dropped"  // too many wait
	notConflict = "conflict" // somebody else wrote or removed it
	notOther    = "_OTHER"
)

// meters are what aggregates tell of their work, to whom their store does. The names
// are in the documentation of package telemetry, and stay as they are.
type meters struct {
	lookups, fromSnapshots, snapshots metric.Int64Counter

	hit, miss []metric.AddOption
	written   map[string][]metric.AddOption // by failure
}

// newMeters makes those of the aggregates of an entity, in that stream. What cannot be
// made measures nothing, and OpenTelemetry's own log says so.
func newMeters(provider metric.MeterProvider, entity, stream string) *meters {
	meter := provider.Meter("sluice/pkg/aggregate")
	counter := func(name, unit, description string) metric.Int64Counter {
		made, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			otel.Handle(err)
		}
		return made
	}
	m := &meters{
		lookups:       counter("sluice.aggregate.lookups", "{lookup}", "Look-ups of aggregates in memory."),
		fromSnapshots: counter("sluice.aggregate.snapshot.loads", "{load}", "Look-ups of snapshots."),
		snapshots:     counter("sluice.aggregate.snapshots", "{snapshot}", "Snapshots taken."),
		written:       make(map[string][]metric.AddOption),
	}
	of := func(more ...attribute.KeyValue) []metric.AddOption {
		return []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(append(more,
			attribute.String("sluice.entity", entity), attribute.String("messaging.destination.name", stream))...))}
	}
	m.hit, m.miss = of(attribute.String("sluice.cache.result", "hit")), of(attribute.String("sluice.cache.result", "miss"))
	m.written[""] = of()
	for _, failure := range []string{notDropped, notConflict, notOther} {
		m.written[failure] = of(attribute.String("error.type", failure))
	}
	return m
}

// found returns the attributes of a look-up.
func (m *meters) found(hit bool) []metric.AddOption {
	if hit {
		return m.hit
	}
	return m.miss
}

func (m *meters) lookedUp(ctx context.Context, hit bool) { m.lookups.Add(ctx, 1, m.found(hit)...) }

func (m *meters) fromSnapshot(ctx context.Context, hit bool) {
	m.fromSnapshots.Add(ctx, 1, m.found(hit)...)
}

func (m *meters) snapshot(ctx context.Context, failure string) {
	m.snapshots.Add(ctx, 1, m.written[failure]...)
}
