package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// pace is how often an event is published: a system with work, but not a busy one.
const pace = time.Second / 500

// latencies: from the call that publishes an event to the moment it has its effect, a
// handler that runs or a read model that shows it; beside nats.go alone, from
// PublishMsg to the callback of Consume.
func latencies() []contest {
	quantiles := []metric{{"p50", "µs", true}, {"p99", "µs", true}}
	return []contest{
		{name: "latency/handler at 500 a second", metrics: quantiles, prepare: latencyOfHandler},
		{name: "latency/read model at 500 a second", metrics: quantiles, prepare: latencyOfModel},
	}
}

// paced is how many events a round publishes at that pace.
func (r *rig) paced() int { return r.size(1_000, 50) }

func latencyOfHandler(ctx context.Context, r *rig) (field, error) {
	js, err := r.history(ctx, orders)
	if err != nil {
		return field{}, err
	}
	store := eventstore.New(js, orders, events)
	w := worker{"ours", handling(store, genuine)}
	raw, err := rawLatency(ctx, r)
	return field{
		ours:  w.latency(r.paced(), func(ids []string) (writer, error) { return appender(store, ids), nil }),
		peers: []peer{raw},
	}, err
}

func rawLatency(ctx context.Context, r *rig) (peer, error) {
	js, err := r.jetStream(ctx)
	w := worker{"raw", consuming(js)}
	return peer{"raw publish to Consume", w.latency(r.paced(), func(ids []string) (writer, error) { return rawAppender(js, orders, ids) })}, err
}

// latency publishes n events, each to an aggregate of its own, and returns quantiles
// of the time until each was handled.
func (w worker) latency(n int, hire func(ids []string) (writer, error)) round {
	return func(ctx context.Context, turn int) (figures []float64, err error) {
		ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
		defer cancel()
		ids := newIDs(n, 1)
		publish, err := hire(ids)
		if err != nil {
			return nil, err
		}
		watch := newStopwatch(ids)
		working, stop, err := w.start(ctx, turn, jetstream.DeliverNewPolicy, watch.stop)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, stop()) }()
		if err := atPace(working, n, func(i int) error {
			watch.start(i)
			return publish(working, i)
		}); err != nil {
			return nil, err
		}
		return watch.quantiles(working)
	}
}

func latencyOfModel(ctx context.Context, r *rig) (field, error) {
	js, err := r.history(ctx, orders)
	if err != nil {
		return field{}, err
	}
	if _, err := js.CreateStream(ctx, projection.BucketConfig("summaries")); err != nil {
		return field{}, err
	}
	store := eventstore.New(js, orders, events)
	view := projection.KV(js, "summaries", summarize)
	runner := view.Follow(store, projection.Config{})
	if err := runner.Start(ctx); err != nil {
		return field{}, err
	}
	r.closers = append(r.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		return runner.Stop(ctx)
	})
	n := r.paced()
	raw, err := rawLatency(ctx, r)
	return field{
		ours: func(ctx context.Context, _ int) ([]float64, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
			defer cancel()
			return untilShown(ctx, store, view, n)
		},
		peers: []peer{raw},
	}, err
}

// untilShown appends n events and returns quantiles of the time until a reader who
// waits for the position finds each in the model.
func untilShown(ctx context.Context, store *eventstore.Store, view *projection.View[summary], n int) ([]float64, error) {
	ids := newIDs(n, 1)
	watch := newStopwatch(ids)
	readers, waiting := errgroup.WithContext(ctx)
	err := atPace(ctx, n, func(i int) error {
		e, err := newFact(ctx, ids[i])
		if err != nil {
			return err
		}
		watch.start(i)
		tail, err := store.Append(ctx, ids[i], eventstore.Tail{}, []event.Event{e})
		if err != nil {
			return err
		}
		readers.Go(func() error {
			if err := view.Wait(waiting, tail.Sequence); err != nil {
				return err
			}
			watch.stop(ids[i])
			return nil
		})
		return nil
	})
	if err := errors.Join(err, readers.Wait()); err != nil {
		return nil, err
	}
	return watch.quantiles(ctx)
}

// atPace calls do n times, at the pace or, when do takes longer, later.
func atPace(ctx context.Context, n int, do func(i int) error) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for i := range n {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}
