package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// newRig returns a rig on a server of the test's.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{quick: true, url: natstest.Start(t).URL()}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// What the raw publisher sends must be what Import writes, or the ratio is of two things.
func TestRawPublisherSendsWhatImportWrites(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, err := newHandover(t.Context(), r, past{aggregates: 12, each: life, abreast: 4})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 { // a turn begins anew
		for _, run := range []round{h.turn(orders, h.take), h.turn(plains, h.publish)} {
			if _, err := run(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range h.events {
		a, b := nth(t, h.ours, orders.Name, uint64(i)+1), nth(t, h.ours, plains.Name, uint64(i)+1)
		plain := func(s string) string { return strings.ReplaceAll(s, orders.Entity, plains.Entity) }
		if plain(a.Subject) != b.Subject || !bytes.Equal(a.Data, b.Data) {
			t.Fatalf("message %d is %s with %s, Import writes %s with %s", i, b.Subject, b.Data, a.Subject, a.Data)
		}
		for name := range a.Header {
			a.Header[name] = []string{plain(a.Header[name][0])}
		}
		if !maps.EqualFunc(a.Header, b.Header, slices.Equal[[]string]) {
			t.Fatalf("message %d has headers %v, Import writes %v", i, b.Header, a.Header)
		}
	}
}

// What the CloudEvents SDK publishes has the attributes and the data of a first event.
func TestCloudEventsAreLikeOurs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	js, err := r.history(t.Context(), clouds)
	if err != nil {
		t.Fatal(err)
	}
	id := event.NewID()
	publish, err := cloudAppender(js, []string{id})
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	got := nth(t, js, clouds.Name, 1)
	e, err := newFact(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	e.Version, e.Step = 1, 1
	header, body := event.Encode(disguised(e, clouds.Entity))
	header["ce-datacontenttype"] = header["content-type"] // the SDK's name for it
	delete(header, "content-type")
	if want := slices.Sorted(maps.Keys(header)); !slices.Equal(names(got), want) {
		t.Errorf("the headers are %v, ours %v", names(got), want)
	}
	if !bytes.Equal(got.Data, body) {
		t.Errorf("the data is %s, ours %s", got.Data, body)
	}
}

func TestEveryWorkerHandlesAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	js, err := r.history(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	p := past{aggregates: 20, each: 10, abreast: 20}
	if err := p.write(t.Context(), r, orders); err != nil {
		t.Fatal(err)
	}
	store := eventstore.New(js, orders, events)
	for name, work := range map[string]work{
		"ours": handling(store, decoding), "single": handling(store, oneAtOnce), "keyed": handling(store, withoutLanes),
		"genuine": handling(store, genuine), "raw": consuming(js), "watermill": routing(r), "cloudevents": receiving(js),
	} {
		var (
			mu    sync.Mutex
			count = make(map[string]int)
		)
		counting := func(ctx context.Context, j job) (func() error, error) {
			handled := j.handled
			j.handled = func(id string) {
				mu.Lock()
				count[id]++
				mu.Unlock()
				handled(id)
			}
			return work(ctx, j)
		}
		if _, err := (worker{name, counting}).turn(p.size())(t.Context(), 1); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for a := range p.aggregates {
			if count[p.id(a)] != p.each {
				t.Errorf("%s handled %d events of an aggregate that has %d", name, count[p.id(a)], p.each)
			}
		}
	}
}

// A worker that fails ends its turn with the reason.
func TestWorkerFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	js, err := r.history(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	msg := &nats.Msg{Subject: "order.noted." + event.NewID(), Header: nats.Header{}, Data: []byte("{")}
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if _, err := (worker{"raw", consuming(js)}).turn(1)(t.Context(), 1); err == nil || errors.Is(err, errPatience) {
		t.Errorf("the turn ended with %v", err)
	}
}

func TestSourcingKeepsWhatItSaved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []durability{rollbackFull, walFull, walNormal} {
		s, err := newSourcing(r, d)
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		p := past{aggregates: 4, each: life, abreast: 4}
		if err := s.fill(p); err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		for a := range p.aggregates {
			if n, err := s.load(t.Context(), p.id(a)); n != life || err != nil {
				t.Errorf("%s: an aggregate has %d events: %v", d, n, err)
			}
		}
		ids := newIDs(life+2, life)
		command := s.commander(ids)
		for i := range ids {
			if err := command(t.Context(), i); err != nil {
				t.Fatalf("%s: command %d: %v", d, i, err)
			}
		}
		if n, err := s.load(t.Context(), ids[0]); n != life || err != nil {
			t.Errorf("%s: after %d commands there are %d events: %v", d, life, n, err)
		}
	}
}

// SQLite must be set as the row says.
func TestDurabilityIsWhatTheRowSays(t *testing.T) {
	t.Parallel()
	for d, want := range map[durability][2]string{
		rollbackFull: {"delete", "2"}, walFull: {"wal", "2"}, walNormal: {"wal", "1"},
	} {
		db, err := d.open(filepath.Join(t.TempDir(), "events.db"))
		if err != nil {
			t.Fatal(err)
		}
		var journal, synchronous string
		if err := db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&journal); err != nil {
			t.Error(err)
		}
		if err := db.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&synchronous); err != nil {
			t.Error(err)
		}
		if got := [2]string{journal, synchronous}; got != want {
			t.Errorf("%s: journal mode and synchronous are %v, want %v", d, got, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHeapIsMeasuredOverAWholeModel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	js, err := r.history(t.Context(), smalls)
	if err != nil {
		t.Fatal(err)
	}
	p := past{aggregates: 50, each: 4, abreast: 50}
	if err := p.write(t.Context(), r, smalls); err != nil {
		t.Fatal(err)
	}
	m, before := modelOf(js, smalls, smallEvents), uint64(0)
	for n := range 2 {
		if _, err := m.turn(p)(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		bucket, err := js.Stream(t.Context(), projection.BucketConfig(m.bucket).Name)
		if err != nil {
			t.Fatal(err)
		}
		state := bucket.CachedInfo().State
		if state.FirstSeq <= before || state.Msgs <= uint64(p.aggregates) {
			t.Errorf("turn %d kept what was built before %d: %+v", n, before, state)
		}
		before = state.LastSeq
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	file, failure := filepath.Join(t.TempDir(), "cpu"), errors.New("measuring failed")
	if err := profiled(file, func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("the error is %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("the profile is empty: %v", err)
	}
}
