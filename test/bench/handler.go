package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// handlers: a durable consumer with explicit acknowledgement works off a history, beside
// nats.go's Consume with encoding/json. Ours runs in lanes, sixteen handlers at once;
// in the second contest it also checks, as the services do, that each event is
// genuine.
func handlers() []contest {
	return []contest{workingOff("handle/decode+ack", decoding), workingOff("handle/genuine+decode+ack", genuine)}
}

// configuration makes the settings of one consumer: a Reader belongs to one alone.
type configuration func(*eventstore.Store) bus.Config

func decoding(*eventstore.Store) bus.Config { return bus.Config{} }

func genuine(store *eventstore.Store) bus.Config { return bus.Config{Read: store.Reader().Read} }

func workingOff(name string, configure configuration) contest {
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
			p := past{aggregates: r.size(5_000, 200), each: 10, abreast: r.size(1_000, 100)}
			if err := p.write(ctx, r, orders); err != nil {
				return field{}, err
			}
			store := eventstore.New(ours, orders, events)
			return field{
				ours:  worker{ours, "ours", handling(store, configure)}.turn(p.size()),
				peers: []peer{{"raw Consume", worker{raw, "raw", consuming(raw)}.turn(p.size())}},
			}, nil
		},
	}
}

// worker is one way to handle what a durable consumer delivers.
type worker struct {
	js    jetstream.JetStream
	name  string
	begin func(ctx context.Context, durable string, handled func(id string)) (stop func() error, err error)
}

// patience bounds waiting for deliveries: a lost one shall fail the run, not hang it.
const patience = 2 * time.Minute

var errPatience = errors.New("events are missing")

// start makes a consumer like those in streams and begins to call handled, from any
// goroutine, with the aggregate of each event. stop ends both.
func (w worker) start(ctx context.Context, turn int, from jetstream.DeliverPolicy, handled func(id string)) (stop func() error, err error) {
	durable := fmt.Sprintf("%s-%d", w.name, turn)
	if _, err := w.js.CreateConsumer(ctx, orders.Name, jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: events.Subjects()[0], DeliverPolicy: from,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Second, MaxDeliver: -1, MaxAckPending: 1000,
	}); err != nil {
		return nil, err
	}
	end, err := w.begin(ctx, durable, handled)
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(end(), w.js.DeleteConsumer(ctx, orders.Name, durable)) }, nil
}

// turn measures from making the consumer to the n-th event handled.
func (w worker) turn(n int) round {
	return func(ctx context.Context, turn int) (figures []float64, err error) {
		ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
		defer cancel()
		var (
			count atomic.Int64
			done  = make(chan struct{})
		)
		began := time.Now()
		stop, err := w.start(ctx, turn, jetstream.DeliverAllPolicy, func(string) {
			if count.Add(1) == int64(n) {
				close(done)
			}
		})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, stop()) }()
		select {
		case <-done:
			return []float64{perSecond(n, time.Since(began))}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// handling is ours: typed, in lanes.
func handling(store *eventstore.Store, configure configuration) func(context.Context, string, func(string)) (func() error, error) {
	return func(ctx context.Context, durable string, handled func(id string)) (func() error, error) {
		consumer := bus.Consume(store.JetStream(), bus.Group{Stream: orders.Name, Name: durable}, configure(store),
			bus.On(func(_ context.Context, e event.Of[noted]) error {
				handled(e.Subject)
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
	}
}

// consuming is nats.go's own: one callback after another, and no envelope; the subject
// tells whose event it is.
func consuming(js jetstream.JetStream) func(context.Context, string, func(string)) (func() error, error) {
	return func(ctx context.Context, durable string, handled func(id string)) (func() error, error) {
		consumer, err := js.Consumer(ctx, orders.Name, durable)
		if err != nil {
			return nil, err
		}
		failed := make(chan error, 1)
		running, err := consumer.Consume(func(msg jetstream.Msg) {
			var data noted
			err := json.Unmarshal(msg.Data(), &data)
			if err == nil {
				handled(strings.TrimPrefix(msg.Subject(), "order.noted."))
				err = msg.Ack()
			}
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		if err != nil {
			return nil, err
		}
		return func() error {
			running.Drain()
			<-running.Closed()
			select {
			case err := <-failed:
				return err
			default:
				return nil
			}
		}, nil
	}
}
