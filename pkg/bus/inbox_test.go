package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// records returns what the inbox says, by event.
func records(t *testing.T, w *world) []string {
	t.Helper()
	kv, err := w.js.KeyValue(t.Context(), bus.StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	// A list of the bucket's keys would wait for ever for one whose time ends meanwhile.
	bucket, err := w.js.Stream(t.Context(), "KV_"+bus.StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "$KV." + bus.StateBucket + "."
	info, err := bucket.Info(t.Context(), jetstream.WithSubjectFilter(prefix+"inbox.>"))
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for subject := range info.State.Subjects {
		entry, err := kv.Get(t.Context(), strings.TrimPrefix(subject, prefix))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, string(entry.Value()))
	}
	return states
}

// What is done is not done again, whoever asks; what was only started is, and the
// handler is told.
func TestRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runs := make(chan bool, 10)
	h := bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		runs <- bus.Repeated(ctx)
		if n, _ := bus.Attempt(ctx); n == 1 {
			return errFlaky
		}
		return nil
	}).Recorded(time.Hour)
	c := start(t, w.js, bus.Config{}, h)
	place(t, w.js, "o-1", 1)
	if got := receive(t, runs, 2); got[0] || !got[1] {
		t.Errorf("repeated: %v", got)
	}
	w.settled(t, 1)
	if got := records(t, w); len(got) != 1 || got[0] != "done" {
		t.Errorf("records %v", got)
	}
	stop(t, c)
	if _, err := w.js.ResetConsumerToSequence(t.Context(), "ORDERS", group.Name, 1); err != nil {
		t.Fatal(err)
	}
	start(t, w.js, bus.Config{}, h)
	w.settled(t, 1)
	if len(runs) != 0 {
		t.Error("handled again what was done")
	}
}

// A process that ends between the start and the end of the handler leaves a record
// that the next one sees.
func TestRecordedOverACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nc := w.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	begun, hang := make(chan struct{}, 1), make(chan struct{})
	victim := bus.Consume(js, group, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error {
		begun <- struct{}{}
		<-hang
		return errFlaky
	}).Recorded(0))
	if err := victim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	receive(t, begun, 1)
	nc.Close()
	runs := make(chan bool, 10)
	start(t, w.js, bus.Config{}, bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		runs <- bus.Repeated(ctx)
		return nil
	}).Recorded(0))
	if !receive(t, runs, 1)[0] {
		t.Error("the handler is not told that it repeats")
	}
	w.settled(t, 1)
	close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := victim.Stop(ctx); err == nil {
		t.Error("Stop without a connection reports success")
	}
}

// The record goes when its time is over.
func TestRecordIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start(t, w.js, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return nil }).Recorded(time.Second))
	place(t, w.js, "o-1", 1)
	w.settled(t, 1)
	eventually(t, func() string {
		if got := records(t, w); len(got) != 0 {
			return "left are records " + strings.Join(got, ", ")
		}
		return ""
	})
}

func TestRecordedNeedsEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything)
	h := bus.OnMessage(func(context.Context, bus.Message) error { return errors.New("never runs") }).Recorded(0)
	if err := bus.Consume(w.js, group, bus.Config{}, h).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no events to record") {
		t.Errorf("Start: %v", err)
	}
}
