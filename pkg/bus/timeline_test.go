package bus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/timeline"
)

// restore leaves the stream as the restore of a backup does that has events 0 to n-1
// and no consumers.
func (w *world) restore(t *testing.T, n int) {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	now, err := timeline.Of(stream.CachedInfo())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.js.DeleteStream(t.Context(), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "ORDERS", Subjects: []string{"order.>"},
		Metadata: map[string]string{timeline.MetadataKey: now.Fork(uint64(n), time.Now()).Metadata()},
	}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		place(t, w.js, "o-1", i)
	}
}

// A group that is ahead of a restored stream stops, however long the stream grows, until
// an operator decides; also one that runs meanwhile, and knows more than is recorded.
func TestAheadOfARestoredStream(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"while it runs", "while it is stopped"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h, got := collect()
			c := start(t, w.js, bus.Config{}, h)
			for n := range 10 {
				place(t, w.js, "o-1", n)
			}
			inOrder(t, got, 0, 9)
			w.settled(t, 10)
			if when == "while it is stopped" {
				stop(t, c)
			}
			w.restore(t, 5)
			for n := range 10 {
				place(t, w.js, "o-1", 100+n)
			}
			w.createConsumer(t)
			if when == "while it is stopped" {
				h, got = collect()
				c = start(t, w.js, bus.Config{}, h)
			}
			kv, err := w.js.KeyValue(t.Context(), bus.StateBucket)
			if err != nil {
				t.Fatal(err)
			}
			stopped := false
			eventually(t, func() string {
				switch err := c.Health(); {
				case errors.Is(err, bus.ErrPosition) && len(got) == 0:
					stopped = true
					if err := kv.Delete(t.Context(), "position.ORDERS."+group.Name); err != nil {
						t.Fatal(err)
					}
					return "the operator has decided"
				case len(got) == 0:
					return "nothing is handled"
				default:
					return ""
				}
			})
			if when == "while it is stopped" {
				if !stopped {
					t.Error("health does not say that the group is ahead")
				}
				inOrder(t, got, 0, 4)
			}
			for first := 0; first < 100; { // what was recorded while it ran may be before the backup's end
				first = receive(t, got, 1)[0]
			}
			inOrder(t, got, 101, 109)
			healthy(t, c)
		})
	}
}

// A group whose position was restored with its stream goes on there.
func TestPositionOfARestoredStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, got := collect()
	c := start(t, w.js, bus.Config{}, h)
	for n := range 5 {
		place(t, w.js, "o-1", n)
	}
	inOrder(t, got, 0, 4)
	w.settled(t, 5)
	stop(t, c)
	w.restore(t, 5)
	for range 2 {
		w.createConsumer(t)
		h, got = collect()
		c = start(t, w.js, bus.Config{}, h)
		place(t, w.js, "o-1", 5)
		inOrder(t, got, 5, 5)
		stop(t, c)
		if err := w.js.DeleteConsumer(t.Context(), "ORDERS", group.Name); err != nil {
			t.Fatal(err)
		}
	}
}
