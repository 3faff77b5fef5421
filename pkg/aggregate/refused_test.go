package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

type labelled struct {
	Label string `json:"label"`
}

func (labelled) EventType() string { return "counter.labelled" }

// wishes are n events.
func wishes(n int) func(counter) ([]event.Data, error) {
	return func(counter) ([]event.Data, error) {
		data := make([]event.Data, n)
		for i := range data {
			data[i] = counted{By: 1}
		}
		return data, nil
	}
}

// TestWhatCannotBeStoredIsRefused: every input that no event can be made of is an
// error that says so, and leaves no message behind.
func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := event.NewRegistry("counter", event.Define[opened](1), event.Define[counted](1), event.Define[labelled](1))
	w.all = aggregate.New(eventstore.New(w.js, counters, registry), apply)
	w.do(t, "a", open(5000))
	label := func(s string) func(counter) ([]event.Data, error) {
		return func(counter) ([]event.Data, error) { return []event.Data{labelled{Label: s}}, nil }
	}
	origin := func(change func(*event.Event)) *event.Event {
		e := event.Event{ID: "outside-1", Source: "/cli"}
		change(&e)
		return &e
	}
	type input struct {
		name    string
		ctx     context.Context
		command aggregate.Command[counter]
		is      error
		code    endpoint.Code
	}
	var inputs []input
	add := func(name string, command aggregate.Command[counter], is error, code endpoint.Code) {
		if command.Decide == nil {
			command.Decide = count(1)
		}
		inputs = append(inputs, input{name, t.Context(), command, is, code})
	}
	for _, id := range []string{
		"", "*", ">", "a.b", ".", "a.", "a b", " a", "a\t", "a\r\nb", "a\x00", "ü", "a/b", "$JS", strings.Repeat("x", 129),
	} {
		add(fmt.Sprintf("id %q", id), aggregate.Command[counter]{ID: id}, event.ErrInvalid, endpoint.CodeInvalid)
		add(fmt.Sprintf("new id %q", id), aggregate.Command[counter]{ID: id, Create: true, Decide: open(1)}, event.ErrInvalid, endpoint.CodeInvalid)
	}
	for _, text := range []string{"x\r\nNats-Rollup: all", "x\n", "\x00", "\xff", "x\u0085"} {
		for name, meta := range map[string]event.Metadata{
			"correlation id": {CorrelationID: text},
			"causation id":   {CausationID: text},
			"user id":        {UserID: text},
			"fingerprint":    {Fingerprint: text},
		} {
			inputs = append(inputs, input{
				fmt.Sprintf("%s %q", name, text), event.WithMetadata(t.Context(), meta),
				aggregate.Command[counter]{ID: "a", Decide: count(1)},
				event.ErrInvalid, endpoint.CodeInvalid,
			})
		}
		for name, e := range map[string]*event.Event{
			"origin's id":     origin(func(e *event.Event) { e.ID = text }),
			"origin's source": origin(func(e *event.Event) { e.Source = text }),
		} {
			add(fmt.Sprintf("%s %q", name, text), aggregate.Command[counter]{ID: "a", Origin: e}, event.ErrInvalid, endpoint.CodeInvalid)
		}
	}
	add("origin without an id", aggregate.Command[counter]{ID: "a", Origin: origin(func(e *event.Event) { e.ID = "" })}, event.ErrInvalid, endpoint.CodeInvalid)
	add("two events of one origin", aggregate.Command[counter]{ID: "a", Origin: origin(func(*event.Event) {}), Decide: count(2)}, event.ErrInvalid, endpoint.CodeInvalid)
	add("an event of more than 1 MiB", aggregate.Command[counter]{ID: "a", Decide: label(strings.Repeat("x", 1<<20+1))}, eventstore.ErrTooLarge, endpoint.CodeInvalid)
	add("an event just too large", aggregate.Command[counter]{ID: "a", Decide: label(strings.Repeat("x", eventstore.MaxMessageSize))}, eventstore.ErrTooLarge, endpoint.CodeInvalid)
	add("a large attribute", aggregate.Command[counter]{ID: "a", Origin: origin(func(e *event.Event) { e.ID = strings.Repeat("x", 1<<20) })}, eventstore.ErrTooLarge, endpoint.CodeInvalid)
	add("1,001 events", aggregate.Command[counter]{ID: "a", Decide: wishes(1001)}, eventstore.ErrTooLarge, endpoint.CodeInvalid)
	add("5,000 events", aggregate.Command[counter]{ID: "b", Create: true, Decide: wishes(5000)}, eventstore.ErrTooLarge, endpoint.CodeInvalid)
	add("no data", aggregate.Command[counter]{ID: "a", Decide: func(counter) ([]event.Data, error) { return []event.Data{counted{By: 1}, nil}, nil }}, event.ErrData, endpoint.CodeInternal)
	add("data that breaks its own rules", aggregate.Command[counter]{ID: "a", Decide: func(counter) ([]event.Data, error) { return []event.Data{counted{}}, nil }}, event.ErrData, endpoint.CodeInternal)
	add("data of a type that nobody defined", aggregate.Command[counter]{ID: "a", Decide: func(counter) ([]event.Data, error) { return []event.Data{stray{}}, nil }}, event.ErrUnknownType, endpoint.CodeInternal)
	add("text that is not UTF-8", aggregate.Command[counter]{ID: "a", Decide: label("\xff")}, event.ErrData, endpoint.CodeInternal)
	for _, claim := range []eventstore.Claim{{}, {Name: "e.mail", Hash: "h"}, {Name: "label", Hash: "*"}, {Name: "label", Hash: "a.b"}, {Name: "label", Hash: "a\r\nb"}} {
		add(fmt.Sprintf("claim %+v", claim), aggregate.Command[counter]{ID: "a", Claims: []eventstore.Claim{claim}}, event.ErrInvalid, endpoint.CodeInvalid)
		add(fmt.Sprintf("claim on %+v", claim), aggregate.Command[counter]{ID: "a", ClaimsOn: func(counter) []eventstore.Claim { return []eventstore.Claim{claim} }}, event.ErrInvalid, endpoint.CodeInvalid)
	}

	before := w.stored(t)
	for _, in := range inputs {
		result, err := w.all.Do(in.ctx, in.command)
		if !errors.Is(err, in.is) || endpoint.CodeOf(err) != in.code {
			t.Errorf("%s: %.300v, code %s; want %v, code %s", in.name, err, endpoint.CodeOf(err), in.is, in.code)
		}
		if result.Version != 0 || result.Events != nil {
			t.Errorf("%s: the result is %+v", in.name, result)
		}
		if _, err := w.all.Get(t.Context(), in.command.ID); in.command.ID != "a" && err == nil {
			t.Errorf("%s: the counter is there", in.name)
		}
	}
	if after := w.stored(t); after != before {
		t.Fatalf("%d messages were stored", after-before)
	}
	w.wantCount(t, "a", 0, 1)
	w.do(t, "a", wishes(1000)) // the most there can be
	w.do(t, "a", count(1))
	w.wantCount(t, "a", 1001, 1002)
}

type stray struct{}

func (stray) EventType() string { return "counter.strayed" }
