package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
)

const counterID = "0193e4c5-7a6b-7c8d-9e0f-112233445566"

func TestIntake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var troubles atomic.Int64
	do := func(ctx context.Context, e event.Event, decide func(counter) ([]event.Data, error)) error {
		_, err := w.all.Do(ctx, aggregate.Command[counter]{ID: e.Subject, Decide: decide, Origin: &e})
		return err
	}
	handler := aggregate.Intake(types,
		aggregate.Take(func(ctx context.Context, e event.Of[opened]) error {
			if m := event.MetadataFrom(ctx); m.CorrelationID == "" {
				t.Error("an event from outside begins no story")
			}
			return do(ctx, e.Event, func(c counter) ([]event.Data, error) {
				if c.Limit > 0 {
					return nil, errFull
				}
				return []event.Data{e.Data}, nil
			})
		}),
		aggregate.Take(func(ctx context.Context, e event.Of[counted]) error {
			if troubles.Add(1) == 1 {
				return errors.New("trouble on our side, for once")
			}
			return do(ctx, e.Event, func(c counter) ([]event.Data, error) { return take(e.Data)(c) })
		}))

	structured := func(id, kind, subject, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/cli","type":%q,"subject":%q,"data":%s}`, id, kind, subject, data)
	}
	refused := map[string]struct {
		subject, body string
		header        nats.Header
		reason        string
	}{
		"not an event":      {"counter.opened", "hello", nil, "not a CloudEvent"},
		"panic of a reader": {"counter.opened", `{"specversion":"1.0","id":"1","source":"/s","type":"counter.opened","data_base64":5}`, nil, "data_base64"},
		"not on the list":   {"counter.closed", structured("r1", "counter.closed", counterID, `{}`), nil, "are not taken in"},
		"another subject":   {"counter.counted", structured("r2", "counter.opened", counterID, `{"limit":1}`), nil, "on another subject"},
		"no id":             {"counter.opened", structured("r3", "counter.opened", "a", `{"limit":1}`), nil, "not the id of an aggregate"},
		"upper-case id":     {"counter.opened", structured("r4", "counter.opened", strings.ToUpper(counterID), `{"limit":1}`), nil, "not the id of an aggregate"},
		"unknown member":    {"counter.opened", structured("r5", "counter.opened", counterID, `{"limit":1,"x":2}`), nil, "does not fit its type"},
		"bad data":          {"counter.counted", structured("r6", "counter.counted", counterID, `{"by":0}`), nil, "by must be 1 or more"},
		"hostile headers":   {"counter.opened", "x", nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"\xff"}}, "invalid event"},
		"binary, no source": {"counter.opened", `{"limit":1}`, nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-type": {"counter.opened"}}, "source is missing"},
	}
	sequences := make(map[uint64]string)
	for name, r := range refused {
		sequences[w.publish(t, r.subject, r.header, r.body)] = name
	}
	for range 2 { // the same event twice is one
		w.publish(t, "counter.opened", nil, structured("x-1", "counter.opened", counterID, `{"limit":2}`))
	}
	group := bus.Group{Stream: "COUNTERS_INTAKE", Name: "counter-intake", MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond}
	w.consume(t, group, "counter.*", aggregate.IntakeKey, handler)
	w.settled(t, group)
	w.wantCount(t, counterID, 0, 1)

	w.publish(t, "counter.counted", nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"x-2"}, "ce-source": {"/cli"}, "ce-type": {"counter.counted"}, "ce-subject": {counterID}, "ce-correlationid": {"story"},
	}, `{"by":2}`)
	w.settled(t, group)
	w.wantCount(t, counterID, 2, 2)

	// Refused by the rules: it is full.
	sequences[w.publish(t, "counter.counted", nil, structured("x-3", "counter.counted", counterID, `{"by":1}`))] = "full"
	w.settled(t, group)
	letters := w.letters(t)
	if len(letters) != len(sequences) {
		t.Errorf("there are %d dead letters, not %d", len(letters), len(sequences))
	}
	for _, l := range letters {
		name := sequences[l.Sequence]
		reason := refused[name].reason
		if name == "full" {
			reason = "the counter is full"
		}
		if l.Reason != bus.ReasonDropped || !strings.Contains(l.Error, reason) || reason == "" {
			t.Errorf("%s: %s, %s", name, l.Reason, l.Error)
		}
	}
	events, err := w.all.History(t.Context(), counterID)
	if err != nil {
		t.Fatal(err)
	}
	if last := events[len(events)-1]; last.ID != "x-2" || last.Source != "/cli" || last.CorrelationID != "story" || events[0].CorrelationID != "x-1" {
		t.Errorf("history is %+v", events)
	}
}

func TestIntakeKeyIsTheAggregate(t *testing.T) {
	t.Parallel()
	binary := bus.Message{Subject: "counter.opened", Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/s"}, "ce-type": {"counter.opened"}, "ce-subject": {"a"},
	}}
	structured := bus.Message{Subject: "counter.counted", Data: []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"counter.counted","subject":"a"}`)}
	if a, b := aggregate.IntakeKey(binary), aggregate.IntakeKey(structured); a != b || a != "counter.a" {
		t.Errorf("keys are %q and %q", a, b)
	}
	if key := aggregate.IntakeKey(bus.Message{Subject: "counter.opened", Data: []byte("garbage")}); key != "counter.opened" {
		t.Errorf("garbage has the key %q", key)
	}
}

// take counts in one step what somebody else counted.
func take(d counted) func(counter) ([]event.Data, error) {
	return func(c counter) ([]event.Data, error) {
		if c.Count+d.By > c.Limit {
			return nil, errFull
		}
		return []event.Data{d}, nil
	}
}

// TestOriginKeepsItsExtensions: what an outsider says beside the attributes we know is
// part of history.
func TestOriginKeepsItsExtensions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	origin := event.Event{ID: "1", Source: "/cli", Extensions: map[string]string{"colour": "red"}}
	_, err := w.all.Do(t.Context(), aggregate.Command[counter]{
		ID: counterID, Create: true, Origin: &origin,
		Decide: func(counter) ([]event.Data, error) { return []event.Data{opened{Limit: 1}}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.all.History(t.Context(), counterID)
	if err != nil {
		t.Fatal(err)
	}
	if got := events[0].Extensions["colour"]; got != "red" {
		t.Errorf("the extension is %q", got)
	}
}
