package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// heaps: what a read model holds in memory after its rebuild, beside the same over a
// shorter stream, where 1 means that the length does not matter. Both have the same
// keys, more of them than a runner keeps in memory by default.
func heaps() []contest {
	const long, short = 200_000, 50_000
	return []contest{{
		name: fmt.Sprintf("heap/rebuild of %d", long), metrics: []metric{{unit: "KiB", lower: true}},
		prepare: func(ctx context.Context, r *rig) (field, error) {
			js, err := r.history(ctx, orders)
			if err != nil {
				return field{}, err
			}
			if _, err := r.history(ctx, smalls); err != nil {
				return field{}, err
			}
			keys := r.size(12_500, 125)
			turn := func(s eventstore.Stream, registry *event.Registry, size int) (round, error) {
				p := past{aggregates: keys, each: size / keys, abreast: keys}
				return modelOf(js, s, registry).turn(p), p.write(ctx, r, s)
			}
			ours, err := turn(orders, events, r.size(long, 2_000))
			if err != nil {
				return field{}, err
			}
			few, err := turn(smalls, smallEvents, r.size(short, 500))
			return field{ours: ours, peers: []peer{{fmt.Sprintf("ours of %d", short), few}}}, err
		},
	}}
}

// model is the read model of one stream, in a bucket of its own.
type model struct {
	js     jetstream.JetStream
	store  *eventstore.Store
	bucket string
}

func modelOf(js jetstream.JetStream, s eventstore.Stream, registry *event.Registry) model {
	return model{js: js, store: eventstore.New(js, s, registry), bucket: "heap-" + s.Entity}
}

// turn builds the model from nothing and returns what the heap has gained, garbage
// collected, as long as the model goes on to follow the stream.
func (m model) turn(p past) round {
	return func(ctx context.Context, _ int) (figures []float64, err error) {
		bucket, err := m.js.CreateStream(ctx, projection.BucketConfig(m.bucket))
		if err != nil {
			return nil, err
		}
		if err := bucket.Purge(ctx); err != nil {
			return nil, err
		}
		before := heap()
		view := projection.KV(m.js, m.bucket, summarize)
		runner := view.Follow(m.store, projection.Config{})
		if err := runner.Start(ctx); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, runner.Stop(ctx)) }()
		if err := runner.CaughtUp(ctx); err != nil {
			return nil, err
		}
		gained := heap() - before
		last, err := view.Get(ctx, p.id(p.aggregates-1))
		if err == nil && last.Version != uint64(p.each) {
			err = errors.New("the last value of the model is not complete")
		}
		return []float64{gained}, err
	}
}

// heap returns how many KiB are in use.
func heap() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // the second empties what pools kept through the first
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / 1024
}
