package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

func TestForeignMessagesChangeNothing(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	tail := mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "one"})
	tail = mustAppend(t, s, "a", tail, named{Name: "two"})

	// A valid continuation, to be spoilt one attribute at a time.
	forge := func(change func(m *nats.Msg)) *nats.Msg {
		e := build(t, "a", named{Name: "evil"})[0]
		e.Version, e.Step, e.Previous = 3, 1, tail.Previous
		h, body := event.Encode(e)
		m := &nats.Msg{Subject: e.HistorySubject(), Header: h, Data: body}
		change(m)
		return m
	}
	forged := map[string]*nats.Msg{
		"bare":           {Subject: "thing.named.a", Data: []byte("hello")},
		"empty":          {Subject: "thing.named.a"},
		"binary garbage": {Subject: "thing.named.a", Data: []byte{0xff, 0, 1}, Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"\xff"}}},
		"version gap":    forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"9"} }),
		"huge version":   forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"9223372036854775807"} }),
		"old version":    forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"2"} }),
		"second of its kind": forge(func(m *nats.Msg) {
			m.Header["ce-aggregateversion"] = []string{"2"}
			m.Header["ce-previous"] = []string{"1"}
		}),
		"no version":       forge(func(m *nats.Msg) { delete(m.Header, "ce-aggregateversion") }),
		"second beginning": forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"1"}; delete(m.Header, "ce-previous") }),
		"wrong previous":   forge(func(m *nats.Msg) { m.Header["ce-previous"] = []string{"1"} }),
		"previous ahead":   forge(func(m *nats.Msg) { m.Header["ce-previous"] = []string{"999999"} }),
		"huge step":        forge(func(m *nats.Msg) { m.Header["ce-step"] = []string{"900000000"} }),
		"step without one": forge(func(m *nats.Msg) { m.Header["ce-step"] = []string{"3"} }),
		"other id":         forge(func(m *nats.Msg) { m.Header["ce-subject"] = []string{"b"} }),
		"other type":       forge(func(m *nats.Msg) { m.Header["ce-type"] = []string{"thing.made"} }),
		"bad data":         forge(func(m *nats.Msg) { m.Data = []byte(`{"name":""}`) }),
		"not json":         forge(func(m *nats.Msg) { m.Data = []byte(`hello`) }),
		"unknown type":     forge(func(m *nats.Msg) { m.Subject = "thing.exploded.a"; m.Header["ce-type"] = []string{"thing.exploded"} }),
		"server's headers": forge(func(m *nats.Msg) {
			m.Header["Nats-Sequence"] = []string{"1"}
			m.Header["ce-aggregateversion"] = []string{"7"}
		}),
		"rollup": forge(func(m *nats.Msg) { m.Header["Nats-Rollup"] = []string{"all"} }),
		"newer than us, v9": forge(func(m *nats.Msg) {
			m.Header["ce-dataschema"] = []string{"/schemas/thing.named/v9"}
			m.Header["ce-aggregateversion"] = []string{"8"}
		}),
	}
	nc := srv.Connect(t)
	reader := s.Reader()
	for name, m := range forged {
		reply, err := nc.RequestMsg(m, 5*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantHistory(t, s, "a", "one two")
		for version := range uint64(3) {
			if events, tail, err := s.LoadLatest(t.Context(), "a", tailOf(t, s, "a", version)); err != nil || len(events) != int(2-version) || tail.Sequence != 2 {
				t.Errorf("%s: %d events after version %d, tail %+v, %v", name, len(events), version, tail, err)
			}
		}
		if !strings.Contains(string(reply.Data), `"seq"`) {
			t.Logf("%s: refused by the stream: %s", name, reply.Data)
		}
	}
	// The aggregate goes on, and every reader sees its events alone.
	tail = mustAppend(t, s, "a", wantHistory(t, s, "a", "one two"), named{Name: "three"})
	mustAppend(t, s, "a", tail, named{Name: "four"})
	wantHistory(t, s, "a", "one two three four")
	for _, r := range []*eventstore.Reader{reader, s.Reader()} {
		if got := readAll(t, s, r); got != "one two three four" {
			t.Errorf("a reader sees %q", got)
		}
	}
}

// readAll returns the names that a consumer of the whole stream finds genuine.
func readAll(t *testing.T, s *eventstore.Store, r *eventstore.Reader) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	consumer, err := s.JetStream().OrderedConsumer(ctx, s.Stream().Name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{s.Stream().History()}})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	info, err := consumer.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var events []eventstore.Recorded
	for pending := info.NumPending + info.Delivered.Consumer; pending > 0; pending-- {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		e, genuine, err := r.Read(ctx, msg)
		if err != nil {
			t.Fatal(err)
		}
		if !genuine {
			continue
		}
		data, err := types.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, eventstore.Recorded{Event: e, Data: data})
	}
	return names(events)
}

func TestGapsAreRepairedNotTakenForTheBeginning(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	var tail eventstore.Tail
	for i := range 20 {
		tail = mustAppend(t, s, "a", tail, named{Name: fmt.Sprint(i)})
	}
	stream, err := s.JetStream().Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	events, loaded, err := s.Load(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 4 || loaded.Version != 4 || loaded.Last != 20 {
		t.Errorf("after event 5 was deleted there are %d events, tail %+v", len(events), loaded)
	}
}

func TestUnknownTypeIsAnExplicitError(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	newer := eventstore.New(srv.JetStream(t), things, types)
	older := eventstore.New(srv.JetStream(t), things, event.NewRegistry("thing", event.Define[made](1)))
	mustAppend(t, newer, "a", eventstore.Tail{}, made{Name: "one"}, named{Name: "two"})
	if _, _, err := older.Load(t.Context(), "a"); !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("load of an event from a later release: %v", err)
	}
	mustAppend(t, newer, "b", eventstore.Tail{}, made{Name: "one"})
	wantHistory(t, older, "b", "one")
}
