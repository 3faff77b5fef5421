package projection_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// erasing returns a world whose bucket erases, and the bucket's stream.
func erasing(t *testing.T) (*natstest.Server, *world, jetstream.Stream) {
	t.Helper()
	srv, w := start(t)
	config := projection.ErasingBucketConfig(bucketName)
	if err := w.js.DeleteStream(t.Context(), config.Name); err != nil {
		t.Fatal(err)
	}
	bucket, err := w.js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return srv, w, bucket
}

// messages lists the bucket's messages but for checkpoints.
func messages(t *testing.T, bucket jetstream.Stream) string {
	t.Helper()
	var all []string
	for next := uint64(1); ; {
		m, err := bucket.GetMsg(t.Context(), next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return strings.Join(all, ", ")
		}
		if err != nil {
			t.Fatal(err)
		}
		next = m.Sequence + 1
		if key := strings.TrimPrefix(m.Subject, "$KV."+bucketName+"."); !strings.HasPrefix(key, "checkpoint.") {
			all = append(all, fmt.Sprintf("%s %d %s", key, m.Sequence, m.Header.Get("KV-Operation")))
		}
	}
}

// Every value that is replaced or deleted goes, and none by the server's own hand,
// which would leave it on disk.
func TestErasingModelLeavesOneValueAKey(t *testing.T) {
	t.Parallel()
	_, w, bucket := erasing(t)
	cfg := quick()
	cfg.Erases = true
	f := follow(t, w.js, cfg)
	for i := range 6 {
		w.write(t, "a", added{Owner: fmt.Sprint("o", i%2), Amount: 1})
		f.catchUp(t)
	}
	w.compare(t)
	info, err := bucket.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A value, an index entry, the marker of the other, and two checkpoints at most.
	if n := strings.Count(messages(t, bucket), ",") + 1; n > 4 {
		t.Errorf("%d of %d messages: %s", n, info.State.Msgs, messages(t, bucket))
	}
	w.write(t, "a", removed{})
	f.catchUp(t)
	w.compare(t)
	if left := messages(t, bucket); strings.Count(left, "DEL") != strings.Count(left, ",")+1 {
		t.Errorf("values are left: %s", left)
	}
}

// Whoever goes on after a crash between a batch and its erasing does it first.
func TestErasingIsFinishedAfterACrash(t *testing.T) {
	t.Parallel()
	srv, w, bucket := erasing(t)
	crashInErasing(t, srv, w, bucket)
	cfg := quick()
	cfg.Erases = true
	g := follow(t, w.js, cfg)
	if n := valuesOf(t, bucket, "a"); n != 1 {
		t.Errorf("%d values of a: %s", n, messages(t, bucket))
	}
	w.write(t, "b", added{Owner: "o", Amount: 1})
	g.catchUp(t)
	w.compare(t)
}

// Whoever stands by does it too, though no event follows that would make it the writer.
func TestErasingIsFinishedByTheOneThatStandsBy(t *testing.T) {
	t.Parallel()
	srv, w, bucket := erasing(t)
	crashed := make(chan struct{})
	cfg := quick()
	cfg.Erases = true
	g := followWith(t, srv.JetStream(t), cfg, func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		<-crashed // so the other one is faster
		return fold(tx, e, data)
	})
	crashInErasing(t, srv, w, bucket)
	if n := valuesOf(t, bucket, "a"); n != 2 {
		t.Fatalf("%d values of a: %s", n, messages(t, bucket))
	}
	close(crashed)
	until(t, func() bool { return valuesOf(t, bucket, "a") == 1 })
	g.catchUp(t)
	w.compare(t)
	w.write(t, "b", added{Owner: "o", Amount: 1})
	g.catchUp(t)
	w.compare(t)
}

// crashInErasing has a runner write a and replace it. It dies before that is erased.
func crashInErasing(t *testing.T, srv *natstest.Server, w *world, bucket jetstream.Stream) {
	t.Helper()
	proxy := srv.Proxy(t)
	cfg := quick()
	cfg.Erases = true
	f := follow(t, natstest.JetStream(t, natstest.Dial(t, proxy.URL())), cfg)
	w.write(t, "a", added{Owner: "o", Amount: 1})
	f.catchUp(t)
	proxy.MuteAfter("STREAM.INFO.KV_" + bucketName) // of erasing, whose answer is lost
	w.write(t, "a", added{Owner: "o", Amount: 1})
	until(t, func() bool { return valuesOf(t, bucket, "a") == 2 })
	f.stop(t)
	proxy.Cut()
}

func valuesOf(t *testing.T, bucket jetstream.Stream, key string) (n int) {
	t.Helper()
	for m := range strings.SplitSeq(messages(t, bucket), ", ") {
		if strings.HasPrefix(m, key+" ") {
			n++
		}
	}
	return n
}

// until returns when done does.
func until(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}
