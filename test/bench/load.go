package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// small is noted in the stream beside which a large one must not be slower.
type small noted

// EventType is its wire name.
func (small) EventType() string { return "small.noted" }

var (
	smalls      = eventstore.Stream{Name: "SMALLS", Entity: "small"}
	smallEvents = event.NewRegistry("small", event.Define[small](1))
)

// smallest is the stream that has room in every cache.
const smallest = 10_000

// loads: all events of one aggregate, chosen at random, in ever longer streams; beside
// an ordered consumer that filters on the aggregate, and beside ourselves in the
// smallest stream, where 1 means that the length does not matter.
func loads() []contest {
	var all []contest
	for _, size := range []int{smallest, 100_000, 1_000_000} {
		all = append(all, contest{
			name: fmt.Sprintf("load/%d of %d", life, size), metrics: []metric{{unit: "µs", lower: true}},
			prepare: func(ctx context.Context, r *rig) (field, error) {
				return loading(ctx, r, r.size(size, min(size, 2*smallest)))
			},
		})
	}
	return all
}

func loading(ctx context.Context, r *rig, size int) (field, error) {
	large, err := stored(ctx, r, orders, events, size)
	if err != nil {
		return field{}, err
	}
	ours, consumers := r.size(500, 20), r.size(10, 2)
	f := field{ours: large.turn(ours, large.load), peers: []peer{{"ordered consumer", large.turn(consumers, large.consume)}}}
	if size == smallest {
		return f, nil
	}
	few, err := stored(ctx, r, smalls, smallEvents, smallest)
	if err != nil {
		return field{}, err
	}
	f.peers = append(f.peers, peer{fmt.Sprintf("ours of %d", smallest), few.turn(ours, few.load)})
	return f, nil
}

// library is a stream full of aggregates of one size.
type library struct {
	past  past
	store *eventstore.Store
}

func stored(ctx context.Context, r *rig, s eventstore.Stream, registry *event.Registry, size int) (library, error) {
	js, err := r.history(ctx, s)
	if err != nil {
		return library{}, err
	}
	// All grow side by side, so the events of one are as far apart as they can be.
	p := past{aggregates: size / life, each: life, abreast: size / life}
	return library{p, eventstore.New(js, s, registry)}, p.write(ctx, r, s)
}

// turn reads n aggregates one after another and returns how long one takes. The
// choice is the same for all who take the same turn.
func (l library) turn(n int, read func(ctx context.Context, id string) (events int, err error)) round {
	return func(ctx context.Context, turn int) ([]float64, error) {
		choice := rand.New(rand.NewPCG(1, uint64(turn))) //nolint:gosec // G404: it shall be the same in every run
		began := time.Now()
		for range n {
			found, err := read(ctx, l.past.id(choice.IntN(l.past.aggregates)))
			if err != nil {
				return nil, err
			}
			if found != l.past.each {
				return nil, fmt.Errorf("read %d events of an aggregate instead of %d", found, l.past.each)
			}
		}
		return []float64{microseconds(time.Since(began)) / float64(n)}, nil
	}
}

func (l library) load(ctx context.Context, id string) (int, error) {
	found, _, err := l.store.Load(ctx, id)
	return len(found), err
}

// consume reads until nothing is left for the consumer.
func (l library) consume(ctx context.Context, id string) (found int, err error) {
	stream := l.store.Stream()
	consumer, err := l.store.JetStream().OrderedConsumer(ctx, stream.Name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{stream.Of(id)}, InactiveThreshold: 5 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return found, err
		}
		e, err := event.Decode(msg.Headers(), msg.Data())
		if err != nil {
			return found, err
		}
		if _, err := l.store.Registry().Decode(e); err != nil {
			return found, err
		}
		found++
		meta, err := msg.Metadata()
		if err != nil || meta.NumPending == 0 {
			return found, err
		}
	}
}
