package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// handlers: a durable consumer with explicit acknowledgement works off a history;
// beside nats.go's Consume with encoding/json, watermill's router and the receiver of
// the CloudEvents SDK. Ours runs in lanes, one for each aggregate, sixteen handlers at
// once; then also one handler at a time, and in no order; and once it checks, as the
// services do, that each event is genuine.
func handlers() []contest {
	return []contest{
		workingOff("handle/decode+ack", decoding),
		workingOff("handle/one at once/decode+ack", oneAtOnce),
		workingOff("handle/without lanes/decode+ack", withoutLanes),
		workingOff("handle/genuine+decode+ack", genuine),
	}
}

// terms makes the settings of one consumer: a Reader belongs to one alone.
type terms func(*eventstore.Store) (bus.Group, bus.Config)

func decoding(*eventstore.Store) (bus.Group, bus.Config) { return bus.Group{}, bus.Config{} }

func oneAtOnce(*eventstore.Store) (bus.Group, bus.Config) {
	return bus.Group{Concurrency: 1}, bus.Config{}
}

// withoutLanes gives each message a key of its own, so that none waits for another.
func withoutLanes(*eventstore.Store) (bus.Group, bus.Config) {
	return bus.Group{}, bus.Config{Key: func(m bus.Message) string { return strconv.FormatUint(m.Sequence, 10) }}
}

func genuine(store *eventstore.Store) (bus.Group, bus.Config) {
	return bus.Group{}, bus.Config{Read: store.Reader().Read}
}

func workingOff(name string, agreed terms) contest {
	return contest{
		name: name, metrics: []metric{{unit: "events/s"}},
		prepare: func(ctx context.Context, r *rig) (field, error) {
			ours, err := r.history(ctx, orders)
			if err != nil {
				return field{}, err
			}
			raw, err := r.jetStream(ctx)
			if err != nil {
				return field{}, err
			}
			cloud, err := r.jetStream(ctx)
			if err != nil {
				return field{}, err
			}
			p := past{aggregates: r.size(5_000, 200), each: 10, abreast: r.size(1_000, 100)}
			if err := p.write(ctx, r, orders); err != nil {
				return field{}, err
			}
			turn := func(name string, w work) round { return worker{name, w}.turn(p.size()) }
			return field{
				ours: turn("ours", handling(eventstore.New(ours, orders, events), agreed)),
				peers: []peer{
					{"raw Consume", turn("raw", consuming(raw))},
					{"watermill AckAsync", turn("watermill", routing(r))},
					{"cloudevents sdk", turn("cloudevents", receiving(cloud))},
				},
			}, nil
		},
	}
}

// handling is ours: typed, in lanes.
func handling(store *eventstore.Store, agreed terms) work {
	return pulling(store.JetStream(), func(ctx context.Context, j job) (func() error, error) {
		group, config := agreed(store)
		group.Stream, group.Name = orders.Name, j.durable
		consumer := bus.Consume(store.JetStream(), group, config, bus.On(func(_ context.Context, e event.Of[noted]) error {
			j.handled(e.Subject)
			return nil
		}))
		if err := consumer.Start(ctx); err != nil {
			return nil, err
		}
		return func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
			defer cancel()
			return consumer.Stop(ctx)
		}, nil
	})
}

// consuming is nats.go's own: one callback after another, and no envelope; the subject
// tells whose event it is.
func consuming(js jetstream.JetStream) work {
	return pulling(js, func(ctx context.Context, j job) (func() error, error) {
		consumer, err := js.Consumer(ctx, orders.Name, j.durable)
		if err != nil {
			return nil, err
		}
		running, err := consumer.Consume(func(msg jetstream.Msg) {
			var data noted
			err := json.Unmarshal(msg.Data(), &data)
			if err == nil {
				j.handled(strings.TrimPrefix(msg.Subject(), "order.noted."))
				err = msg.Ack()
			}
			if err != nil {
				j.fail(err)
			}
		})
		if err != nil {
			return nil, err
		}
		return func() error {
			running.Drain()
			<-running.Closed()
			return nil
		}, nil
	})
}
