package projection_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/projection"
)

func TestGet(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 3})
	w.write(t, "gone", added{"x", 3})
	w.write(t, "gone", removed{})
	f.catchUp(t)
	got, err := f.view.Get(t.Context(), "a")
	if want := (value{ID: "a", Owner: "x", Amount: 3, Folds: 1}); err != nil || got != want {
		t.Fatalf("Get: %+v, %v, want %+v", got, err, want)
	}
	for _, key := range []string{"none", "gone", "", "*", ">", "a b", "checkpoint.THINGS", "by-owner.x.a", "a.", strings.Repeat("a", 600)} {
		if _, err := f.view.Get(t.Context(), key); !errors.Is(err, projection.ErrNotFound) {
			t.Errorf("Get(%.20q): %v, want ErrNotFound", key, err)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("id%02d", i)
		w.write(t, id, added{"x", i})
		w.write(t, "other"+id, added{"xy", i})
		if i%5 == 4 {
			w.write(t, id, removed{})
			continue
		}
		want = append(want, id)
	}
	slices.Reverse(want)
	f.catchUp(t)
	for _, limit := range []int{1, 3, 7, 10, 19, 20, 21, 0, 5000} {
		var got []string
		pages, cursor := 0, ""
		for {
			items, next, err := f.view.List(t.Context(), "by-owner.x", cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range items {
				got = append(got, item.ID)
			}
			pages++
			if cursor = next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %v, want %v", limit, got, want)
		}
		if limit > 0 && pages > (len(want)+limit-1)/limit {
			t.Errorf("limit %d: %d pages", limit, pages)
		}
	}
	if items, next, err := f.view.List(t.Context(), "by-owner.nobody", "", 5); len(items) > 0 || next != "" || err != nil {
		t.Errorf("an empty index: %v %q %v", items, next, err)
	}
}

func TestListRefusesHostileCursors(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	encode := base64.RawURLEncoding.EncodeToString
	for _, cursor := range []string{"%%%", "a", "by-owner.x.a", encode([]byte("*")), encode([]byte("a b")), encode([]byte(".")), encode([]byte{0xff, 0}), strings.Repeat("A", 10_000)} {
		if _, _, err := f.view.List(t.Context(), "by-owner.x", cursor, 5); !errors.Is(err, projection.ErrCursor) {
			t.Errorf("cursor %.20q: %v, want ErrCursor", cursor, err)
		}
	}
	for _, index := range []string{"", "*", ">", "by-owner.>", "by-owner. ", "checkpoint", "staged.THINGS", ".x"} {
		if _, _, err := f.view.List(t.Context(), index, "", 5); !errors.Is(err, projection.ErrKey) {
			t.Errorf("index %q: %v, want ErrKey", index, err)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	idle := projection.KV(w.js, bucketName, fold)
	if err := idle.Wait(t.Context(), 1); !errors.Is(err, projection.ErrNotFollowed) {
		t.Errorf("without a runner: %v, want ErrNotFollowed", err)
	}
	f := follow(t, w.js, quick())
	g := follow(t, srv.JetStream(t), projection.Config{Log: quick().Log, ReadOnly: true})
	sequence := w.write(t, "a", added{"x", 1})
	for _, x := range []follower{f, g} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := x.view.Wait(ctx, sequence); err != nil {
			t.Errorf("Wait: %v", err)
		}
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		var behind *projection.BehindError
		err := x.view.Wait(ctx, sequence+1)
		cancel()
		if !errors.As(err, &behind) || behind.Reached != sequence || behind.Wanted != sequence+1 || behind.Stream != things.Name {
			t.Errorf("Wait for what is not there: %v (%+v), want a BehindError at %d", err, behind, sequence)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not the context's error", err)
		}
		if lag, err := x.runner.Lag(t.Context()); lag != 0 || err != nil {
			t.Errorf("Lag: %d, %v, want 0", lag, err)
		}
	}
	f.stop(t)
	if err := f.view.Wait(t.Context(), sequence+1); !errors.Is(err, projection.ErrNotFollowed) {
		t.Errorf("after Stop: %v, want ErrNotFollowed", err)
	}
	if err := f.runner.Health(); !errors.Is(err, projection.ErrNotFollowed) {
		t.Errorf("Health after Stop: %v, want ErrNotFollowed", err)
	}
	w.write(t, "a", added{"x", 1})
	w.write(t, "a", added{"x", 1})
	if lag, err := g.runner.Lag(t.Context()); lag != 2 || err != nil {
		t.Errorf("Lag of the watcher: %d, %v, want 2", lag, err)
	}
	g.stop(t)
}

// A message that is no genuine event is passed over, and the position moves past it.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	for _, body := range []string{"", "garbage", `{"specversion":"1.0"}`, `{"owner":"x","amount":1}`} {
		if _, err := w.js.Publish(t.Context(), "thing.added.b", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	f.catchUp(t)
	w.compare(t)
	if err := f.runner.Health(); err != nil {
		t.Errorf("Health: %v", err)
	}
}

func TestStartRefusesUnfitBuckets(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	js := srv.JetStream(t)
	begin := func() error {
		return projection.KV(js, bucketName, fold).Follow(w.store, quick()).Start(t.Context())
	}
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"allow_atomic":           func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"allow_direct":           func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"allow_rollup_hdrs":      func(c *jetstream.StreamConfig) { c.AllowRollup = false },
		"max_msgs_per_subject 1": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 },
		"max_age 0":              func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
	} {
		config := projection.BucketConfig(bucketName)
		change(&config)
		recreate(t, js, config)
		if err := begin(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
	}
	recreate(t, js, projection.BucketConfig(bucketName))
	for _, name := range []string{things.Name, "KV_" + bucketName} {
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := begin(); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("without %s: %v, want ErrStreamNotFound", name, err)
		}
	}
}

// recreate deletes a stream and creates it again. The server may still be removing
// the old one's files (error 10049), then it has to be asked again.
func recreate(t *testing.T, js jetstream.JetStream, config jetstream.StreamConfig) {
	t.Helper()
	const stillRemoving = 10049
	if err := js.DeleteStream(t.Context(), config.Name); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := js.CreateStream(t.Context(), config)
		var api jetstream.JetStreamError
		if errors.As(err, &api) && api.APIError().ErrorCode == stillRemoving {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

// The bucket differs from what `nats kv add` makes in nothing but atomic batches.
func TestBucketConfigIsAKeyValueBucket(t *testing.T) {
	t.Parallel()
	srv, _ := start(t)
	js := srv.JetStream(t)
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "plain"}); err != nil {
		t.Fatal(err)
	}
	plain, err := js.Stream(t.Context(), "KV_plain")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := js.CreateStream(t.Context(), projection.BucketConfig("ours"))
	if err != nil {
		t.Fatal(err)
	}
	want, got := plain.CachedInfo().Config, ours.CachedInfo().Config
	want.AllowAtomicPublish = true
	want.Name, want.Subjects = got.Name, got.Subjects
	want.Metadata, got.Metadata = nil, nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("bucket is\n%+v, want\n%+v", got, want)
	}
	asked := projection.BucketConfig("ours")
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", asked) {
		t.Errorf("the server made\n%+v of\n%+v", got, asked)
	}
}
