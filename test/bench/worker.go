package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// worker is one way to handle what a durable consumer delivers.
type worker struct {
	name string
	work work
}

// work begins to do j and returns once it does. stop ends it.
type work func(ctx context.Context, j job) (stop func() error, err error)

// job is to handle the events of orders. Both functions may be called by any goroutine.
type job struct {
	durable string
	from    jetstream.DeliverPolicy
	handled func(id string)         // tells of which aggregate an event was handled
	fail    context.CancelCauseFunc // ends all with an error
}

// How consumers are set up, as those in streams are.
const (
	ackWait       = 5 * time.Second
	maxAckPending = 1000
)

// patience bounds waiting for deliveries: a lost one shall fail the run, not hang it.
const patience = 2 * time.Minute

var errPatience = errors.New("events are missing")

// start begins the work of one turn. stop ends it, and returns also what failed in it.
func (w worker) start(ctx context.Context, turn int, from jetstream.DeliverPolicy, handled func(id string)) (working context.Context, stop func() error, err error) {
	working, fail := context.WithCancelCause(ctx)
	end, err := w.work(working, job{fmt.Sprintf("%s-%d", w.name, turn), from, handled, fail})
	if err != nil {
		fail(nil)
		return nil, nil, err
	}
	return working, func() error {
		err := errors.Join(end(), context.Cause(working))
		fail(nil)
		return err
	}, nil
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
		working, stop, err := w.start(ctx, turn, jetstream.DeliverAllPolicy, func(string) {
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
		case <-working.Done():
			return nil, context.Cause(working)
		}
	}
}

// pulling makes the durable consumer that w pulls from, and deletes it at the end.
func pulling(js jetstream.JetStream, w work) work {
	return func(ctx context.Context, j job) (func() error, error) {
		if _, err := js.CreateConsumer(ctx, orders.Name, jetstream.ConsumerConfig{
			Durable: j.durable, FilterSubject: events.Subjects()[0], DeliverPolicy: j.from,
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: maxAckPending,
		}); err != nil {
			return nil, err
		}
		stop, err := w(ctx, j)
		if err != nil {
			return nil, err
		}
		return func() error { return errors.Join(stop(), js.DeleteConsumer(ctx, orders.Name, j.durable)) }, nil
	}
}

// push returns the options of a push consumer that delivers what those pull consumers
// do. nats.go makes it with the subscription and deletes it at its end.
func (j job) push() []nats.SubOpt {
	from := nats.DeliverAll()
	if j.from == jetstream.DeliverNewPolicy {
		from = nats.DeliverNew()
	}
	return []nats.SubOpt{from, nats.AckExplicit(), nats.AckWait(ackWait), nats.MaxAckPending(maxAckPending)}
}
