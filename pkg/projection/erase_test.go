package projection_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
	proxy := srv.Proxy(t)
	cfg := quick()
	cfg.Erases = true
	through := natstest.Dial(t, proxy.URL())
	js, err := jetstream.New(through)
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, js, cfg)
	w.write(t, "a", added{Owner: "o", Amount: 1})
	f.catchUp(t)
	before := messages(t, bucket)
	proxy.MuteAfter("STREAM.INFO.KV_" + bucketName) // of erasing, whose answer is lost
	w.write(t, "a", added{Owner: "o", Amount: 1})
	until(t, func() bool { return strings.Count(messages(t, bucket), "a ") > strings.Count(before, "a ") })
	f.stop(t)
	proxy.Cut()
	g := follow(t, w.js, cfg)
	w.write(t, "b", added{Owner: "o", Amount: 1})
	g.catchUp(t)
	w.compare(t)
	values := 0
	for m := range strings.SplitSeq(messages(t, bucket), ", ") {
		if strings.HasPrefix(m, "a ") {
			values++
		}
	}
	if values != 1 {
		t.Errorf("%d values of a: %s", values, messages(t, bucket))
	}
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
