package aggregate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// A counter is opened, counts up to its limit and is closed.

type opened struct {
	Limit int `json:"limit"`
}

func (opened) EventType() string { return "counter.opened" }

type counted struct {
	By int `json:"by"`
}

func (counted) EventType() string { return "counter.counted" }

func (c counted) Validate() error {
	if c.By < 1 {
		return errors.New("by must be 1 or more")
	}
	return nil
}

type counter struct{ Limit, Count int }

func apply(c counter, _ event.Event, data event.Data) counter {
	switch d := data.(type) {
	case opened:
		c.Limit = d.Limit
	case counted:
		c.Count += d.By
	}
	return c
}

var (
	errOpen   = errors.New("it is open already")
	errClosed = errors.New("it is not open")
	errFull   = endpoint.Conflict("the counter is full")
)

func open(limit int) func(counter) ([]event.Data, error) {
	return func(c counter) ([]event.Data, error) {
		if c.Limit > 0 {
			return nil, errOpen
		}
		return []event.Data{opened{Limit: limit}}, nil
	}
}

// count counts one by one, so that two or more are a decision of several events.
func count(n int) func(counter) ([]event.Data, error) {
	return func(c counter) ([]event.Data, error) {
		if c.Limit == 0 {
			return nil, errClosed
		}
		if c.Count+n > c.Limit {
			return nil, errFull
		}
		data := make([]event.Data, n)
		for i := range data {
			data[i] = counted{By: 1}
		}
		return data, nil
	}
}

var (
	counters = eventstore.Stream{Name: "COUNTERS", Entity: "counter"}
	types    = event.NewRegistry("counter", event.Define[opened](1), event.Define[counted](1))
)

type world struct {
	*natstest.Server
	js    jetstream.JetStream
	store *eventstore.Store
	all   *aggregate.Aggregates[counter]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	srv := natstest.Start(t)
	w := &world{Server: srv, js: srv.JetStream(t)}
	for _, config := range []jetstream.StreamConfig{
		eventstore.HistoryConfig(counters),
		{Name: "COUNTERS_INTAKE", Subjects: []string{"counter.*"}, Retention: jetstream.WorkQueuePolicy},
		{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}},
	} {
		if _, err := w.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	w.store = eventstore.New(w.js, counters, types)
	w.all = aggregate.New(w.store, apply)
	return w
}

func (w *world) do(t *testing.T, id string, decide func(counter) ([]event.Data, error)) aggregate.Result[counter] {
	t.Helper()
	result, err := w.all.Do(t.Context(), aggregate.Command[counter]{ID: id, Decide: decide})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// wantCount wants the counter to be there, as counted, at a version.
func (w *world) wantCount(t *testing.T, id string, n int, version uint64) {
	t.Helper()
	got, err := w.all.Get(t.Context(), id)
	if err != nil || got.State.Count != n || got.Version != version {
		t.Errorf("counter %s is %+v, %v; want count %d at version %d", id, got, err, n, version)
	}
}

// eventually waits until check returns "", and fails with what it returned last.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for {
		problem := check()
		if problem == "" {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(problem)
		}
	}
}
