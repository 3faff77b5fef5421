package projection_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/natstest"
)

// BenchmarkRebuild folds 100,000 events of 10,000 aggregates, all side by side, into
// an empty bucket. The server runs in the same process.
func BenchmarkRebuild(b *testing.B) {
	const keys, perKey = 10_000, 10
	srv := natstest.Start(b)
	w := newWorld(b, srv.JetStream(b))
	sequence := func(key, i int) uint64 { return uint64(i*keys + key + 1) }
	for i := range perKey {
		for key := range keys {
			e, err := registry.New(b.Context(), fmt.Sprintf("id%d", key), added{fmt.Sprintf("o%d", key%100), i})
			if err != nil {
				b.Fatal(err)
			}
			e.Version, e.Step = uint64(i)+1, 1
			for before := i - 1; before >= 0; before-- {
				e.Previous = append(e.Previous, sequence(key, before))
			}
			header, data := event.Encode(e)
			last := uint64(0)
			if i > 0 {
				last = sequence(key, i-1)
			}
			header["Nats-Expected-Last-Subject-Sequence"] = []string{fmt.Sprint(last)}
			header["Nats-Expected-Last-Subject-Sequence-Subject"] = []string{things.Of(e.Subject)}
			if _, err := w.js.PublishMsgAsync(&nats.Msg{Subject: e.HistorySubject(), Header: header, Data: data}, jetstream.WithStallWait(time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
	}
	<-w.js.PublishAsyncComplete()
	bucket, err := w.js.Stream(b.Context(), "KV_"+bucketName)
	if err != nil {
		b.Fatal(err)
	}
	var before, after syscall.Rusage
	cpu := 0.0
	for b.Loop() {
		b.StopTimer()
		if err := bucket.Purge(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = syscall.Getrusage(0, &before)
		b.StartTimer()
		f := follow(b, w.js, quick())
		f.catchUp(b)
		b.StopTimer()
		_ = syscall.Getrusage(0, &after)
		cpu += float64(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
		f.stop(b)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*keys*perKey/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(cpu/float64(b.N)/keys/perKey, "cpu-ns/event")
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
