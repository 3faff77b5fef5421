package main

import (
	"context"
	"sync/atomic"
	"time"
)

// stopwatch times many things at once, each by its id. What it is told twice or does
// not know it ignores.
type stopwatch struct {
	epoch   time.Time
	index   map[string]int
	started []atomic.Int64 // after epoch
	took    []atomic.Int64
	left    atomic.Int64
	done    chan struct{} // closed when all have stopped
}

func newStopwatch(ids []string) *stopwatch {
	w := &stopwatch{
		epoch: time.Now(), index: make(map[string]int, len(ids)),
		started: make([]atomic.Int64, len(ids)), took: make([]atomic.Int64, len(ids)), done: make(chan struct{}),
	}
	for i, id := range ids {
		w.index[id] = i
	}
	w.left.Store(int64(len(ids)))
	return w
}

func (w *stopwatch) start(i int) { w.started[i].Store(int64(time.Since(w.epoch))) }

func (w *stopwatch) stop(id string) {
	now := int64(time.Since(w.epoch))
	i, ok := w.index[id]
	if ok && w.took[i].CompareAndSwap(0, now-w.started[i].Load()) && w.left.Add(-1) == 0 {
		close(w.done)
	}
}

// quantiles waits for the last and returns the median and the 99th percentile, in
// microseconds.
func (w *stopwatch) quantiles(ctx context.Context) ([]float64, error) {
	select {
	case <-w.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	all := make(sample, len(w.took))
	for i := range w.took {
		all[i] = microseconds(time.Duration(w.took[i].Load()))
	}
	return []float64{all.median(), all.quantile(0.99)}, nil
}
