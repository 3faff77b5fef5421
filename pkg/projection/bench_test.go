package projection_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// BenchmarkRebuild folds 50,000 events of 5,000 aggregates into an empty bucket.
func BenchmarkRebuild(b *testing.B) {
	const keys, perKey = 5_000, 10
	srv := natstest.Start(b)
	w := newWorld(b, srv.JetStream(b))
	var writers errgroup.Group
	writers.SetLimit(16)
	for key := range keys {
		writers.Go(func() error {
			id, tail := fmt.Sprintf("id%d", key), eventstore.Tail{}
			for i := range perKey {
				e, err := registry.New(b.Context(), id, added{fmt.Sprintf("o%d", key%100), i})
				if err != nil {
					return err
				}
				if tail, err = w.store.Append(b.Context(), id, tail, []event.Event{e}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		b.Fatal(err)
	}
	bucket, err := w.js.Stream(b.Context(), "KV_"+bucketName)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		if err := bucket.Purge(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		f := follow(b, w.js, quick())
		f.catchUp(b)
		b.StopTimer()
		f.stop(b)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*keys*perKey/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkList reads a page of 20 from indexes of several sizes.
func BenchmarkList(b *testing.B) {
	srv := natstest.Start(b)
	w := newWorld(b, srv.JetStream(b))
	f := follow(b, w.js, quick())
	defer f.stop(b)
	w.write(b, "a", added{"x", 1})
	f.catchUp(b)
	sizes := []int{10, 1_000, 10_000, 100_000}
	for _, size := range sizes {
		for i := range size {
			m := nats.NewMsg(fmt.Sprintf("$KV.%s.by-size.%d.%08d", bucketName, size, i))
			m.Data = []byte("a")
			if err := w.js.Conn().PublishMsg(m); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.js.AccountInfo(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			for b.Loop() {
				if items, _, err := f.view.List(b.Context(), fmt.Sprintf("by-size.%d", size), "", 20); err != nil || len(items) == 0 {
					b.Fatal(len(items), err)
				}
			}
		})
	}
}
