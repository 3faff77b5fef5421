package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// writer does its i-th piece of work. It is used by one goroutine.
type writer func(ctx context.Context, i int) error

// together lets all writers do n pieces of work each, at the same time, and returns
// how many all of them did in a second. What a writer needs is made before.
func together(ctx context.Context, writers []writer, n int) ([]float64, error) {
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for _, write := range writers {
		group.Go(func() error {
			for i := range n {
				if err := write(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return []float64{perSecond(n*len(writers), time.Since(began))}, nil
}

// crew returns n writers.
func crew(n int, hire func() (writer, error)) ([]writer, error) {
	all := make([]writer, n)
	for i := range all {
		var err error
		if all[i], err = hire(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
