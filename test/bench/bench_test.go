package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// What the peers publish must be what Append writes, or the ratio is of two things.
func TestWireIsWhatAppendWrites(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	for _, s := range []eventstore.Stream{orders, plains} {
		if _, err := js.CreateStream(t.Context(), eventstore.HistoryConfig(s)); err != nil {
			t.Fatal(err)
		}
	}
	ids := newIDs(life+2, life)
	ours := appender(eventstore.New(js, orders, events), ids)
	raw, err := rawAppender(js, plains, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ids {
		for _, write := range []writer{ours, raw} {
			if err := write(t.Context(), i); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
		}
		a, b := nth(t, js, orders.Name, uint64(i)+1), nth(t, js, plains.Name, uint64(i)+1)
		if !bytes.Equal(a.Data, b.Data) || len(a.Subject) != len(b.Subject) {
			t.Errorf("event %d: %s with %s is not like %s with %s", i, b.Subject, b.Data, a.Subject, a.Data)
		}
		if !slices.Equal(names(a), names(b)) {
			t.Fatalf("event %d has headers %v, Append writes %v", i, names(b), names(a))
		}
		for name := range a.Header {
			x, y := a.Header[name][0], strings.ReplaceAll(b.Header[name][0], plains.Entity, orders.Entity)
			differs := name == "ce-id" || name == "ce-time" || name == "ce-correlationid" || name == "ce-causationid"
			if x != y && !differs {
				t.Errorf("event %d: header %s is %q, Append writes %q", i, name, y, x)
			}
		}
	}
}

func names(m *jetstream.RawStreamMsg) []string { return slices.Sorted(maps.Keys(m.Header)) }

func nth(t *testing.T, js jetstream.JetStream, stream string, sequence uint64) *jetstream.RawStreamMsg {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), sequence)
	if err != nil {
		t.Fatal(err)
	}
	for name := range m.Header {
		if added := strings.HasPrefix(name, "Nats-") && !strings.HasPrefix(name, "Nats-Expected-"); added {
			delete(m.Header, name) // by the server that answers
		}
	}
	return m
}

// A preloaded history must be one that the store takes for its own.
func TestPastIsGenuine(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	r := &rig{url: srv.URL()}
	t.Cleanup(func() { _ = r.close() })
	p := past{aggregates: 4, each: life, abreast: 2}
	js, err := r.history(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write(t.Context(), r, orders); err != nil {
		t.Fatal(err)
	}
	store := eventstore.New(js, orders, events)
	for a := range p.aggregates {
		found, tail, err := store.Load(t.Context(), p.id(a))
		if err != nil || len(found) != life || tail.Sequence != p.sequence(a, life-1) {
			t.Errorf("aggregate %d has %d events up to %d: %v", a, len(found), tail.Sequence, err)
		}
	}
	e, err := newFact(t.Context(), p.id(0))
	if err != nil {
		t.Fatal(err)
	}
	_, tail, err := store.Load(t.Context(), p.id(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), p.id(0), tail, []event.Event{e}); err != nil {
		t.Errorf("append to a preloaded aggregate: %v", err)
	}
}

func TestFactHas256Bytes(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(fact())
	if err != nil || len(data) != 256 {
		t.Errorf("the data has %d bytes: %v", len(data), err)
	}
}

func TestRatioIsHigherWhenWeAreBetter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		metric     metric
		ours, peer sample
		want       float64
	}{
		{metric{}, sample{1, 20, 3}, sample{2, 1, 1.5}, 2},
		{metric{lower: true}, sample{1, 2, 3}, sample{8, 6, 10}, 4},
		{metric{lower: true}, sample{10}, sample{5}, 0.5},
		{metric{}, sample{1, 3}, sample{4}, 0.5},
	} {
		if got := newRow("", "", test.metric, test.ours, test.peer).ratio; got != test.want {
			t.Errorf("%v against %v (lower is better: %v): %v, want %v", test.ours, test.peer, test.metric.lower, got, test.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	hundred := make(sample, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	if got := hundred.quantile(0.99); got != 99 {
		t.Errorf("the 99th percentile of 1 to 100 is %v", got)
	}
	if got := hundred.median(); got != 50.5 {
		t.Errorf("the median of 1 to 100 is %v", got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	var table, tsv strings.Builder
	r := report{&table, &tsv}
	if err := r.add([]row{newRow("append/1", "raw", metric{unit: "events/s"}, sample{900, 1100, 1000}, sample{2000})}); err != nil {
		t.Fatal(err)
	}
	if want := "append/1 vs raw\tevents/s\t1000\t2000\t0.500\n"; tsv.String() != want {
		t.Errorf("wrote %q, want %q", tsv.String(), want)
	}
	if !strings.Contains(table.String(), "900–1100") {
		t.Errorf("the table lacks the spread: %q", table.String())
	}
}
