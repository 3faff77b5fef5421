package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

var (
	things = eventstore.Stream{Name: "THINGS", Entity: "thing"}
	types  = event.NewRegistry("thing", event.Define[made](1), event.Define[named](1))
)

type made struct {
	Name string `json:"name"`
}

func (made) EventType() string { return "thing.made" }

type named struct {
	Name string `json:"name"`
}

func (named) EventType() string { return "thing.named" }

func (n named) Validate() error {
	if n.Name == "" {
		return errors.New("name is missing")
	}
	return nil
}

func newStore(t testing.TB, srv *natstest.Server) *eventstore.Store {
	t.Helper()
	js := srv.JetStream(t)
	if _, err := js.CreateOrUpdateStream(t.Context(), eventstore.HistoryConfig(things)); err != nil {
		t.Fatal(err)
	}
	store := eventstore.New(js, things, types)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func build(t testing.TB, id string, data ...event.Data) []event.Event {
	t.Helper()
	events := make([]event.Event, len(data))
	for i, d := range data {
		e, err := types.New(t.Context(), id, d)
		if err != nil {
			t.Fatal(err)
		}
		events[i] = e
	}
	return events
}

func mustAppend(t testing.TB, s *eventstore.Store, id string, tail eventstore.Tail, data ...event.Data) eventstore.Tail {
	t.Helper()
	tail, err := s.Append(t.Context(), id, tail, build(t, id, data...))
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

// names returns the names in a history, to compare with.
func names(events []eventstore.Recorded) string {
	var all []string
	for _, e := range events {
		switch d := e.Data.(type) {
		case made:
			all = append(all, d.Name)
		case named:
			all = append(all, d.Name)
		}
	}
	return strings.Join(all, " ")
}

func wantHistory(t testing.TB, s *eventstore.Store, id, want string) eventstore.Tail {
	t.Helper()
	events, tail, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(events); got != want {
		t.Fatalf("history of %s is %q, want %q", id, got, want)
	}
	for i, e := range events {
		if e.Version != uint64(i+1) || e.Sequence == 0 || e.Stream != "THINGS" {
			t.Fatalf("event %d has version %d, sequence %d, stream %q", i, e.Version, e.Sequence, e.Stream)
		}
	}
	return tail
}

func TestAppendAndLoad(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	var tail eventstore.Tail
	want := ""
	for i := range 40 { // single events and batches mixed, longer than one link list
		mustAppend(t, s, "other", wantAny(t, s, "other"), made{Name: "x"})
		var data []event.Data
		for j := range i%4 + 1 {
			name := fmt.Sprintf("n%d.%d", i, j)
			want = strings.TrimSpace(want + " " + name)
			data = append(data, named{Name: name})
		}
		tail = mustAppend(t, s, "a", tail, data...)
	}
	loaded := wantHistory(t, s, "a", want)
	if fmt.Sprint(loaded) != fmt.Sprint(tail) {
		t.Errorf("tail is %v after the append and %v after a load", tail, loaded)
	}
	events, _, err := s.LoadAfter(t.Context(), "a", 95)
	if err != nil || len(events) != 5 || events[0].Version != 96 {
		t.Errorf("LoadAfter(95) gives %d events, %v", len(events), err)
	}
	if events, tail, err := s.Load(t.Context(), "nobody"); err != nil || len(events) != 0 || tail.Last != 0 {
		t.Errorf("an unknown aggregate gives %v %v %v", events, tail, err)
	}
}

func wantAny(t testing.TB, s *eventstore.Store, id string) eventstore.Tail {
	t.Helper()
	_, tail, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

func TestConflictCarriesWhatHappened(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	first := mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "one"})
	mustAppend(t, s, "a", first, named{Name: "two"}, named{Name: "three"})
	for _, data := range [][]event.Data{{named{Name: "late"}}, {named{Name: "late"}, named{Name: "later"}}} {
		_, err := s.Append(t.Context(), "a", first, build(t, "a", data...))
		var conflict *eventstore.ConflictError
		if !errors.As(err, &conflict) || !errors.Is(err, eventstore.ErrConflict) {
			t.Fatalf("error is %v, want a conflict", err)
		}
		if got := names(conflict.Events); got != "two three" || conflict.Tail.Version != 3 {
			t.Errorf("conflict carries %q at version %d", got, conflict.Tail.Version)
		}
		if _, err := s.Append(t.Context(), "b", first, build(t, "b", data...)); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("append to a missing aggregate at a version: %v", err)
		}
	}
	wantHistory(t, s, "a", "one two three")
}

func TestWritersRace(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	const writers, each = 8, 15
	var wg sync.WaitGroup
	for range writers {
		s := eventstore.New(srv.JetStream(t), things, types)
		wg.Go(func() {
			for done := 0; done < each; {
				_, tail, err := s.Load(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "x"}, named{Name: "y"}))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, eventstore.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantHistory(t, newStore(t, srv), "a", strings.TrimSpace(strings.Repeat("x y ", writers*each)))
}

func TestClaims(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	email := eventstore.Claim{Name: "email", Hash: "h1"}
	tail, err := s.Append(t.Context(), "a", eventstore.Tail{}, build(t, "a", made{Name: "a"}), email)
	if err != nil {
		t.Fatal(err)
	}
	if loaded := wantHistory(t, s, "a", "a"); loaded.Sequence != tail.Sequence || loaded.Last != tail.Last {
		t.Errorf("tail is %v, loaded %v", tail, loaded)
	}
	var taken *eventstore.TakenError
	_, err = s.Append(t.Context(), "b", eventstore.Tail{}, build(t, "b", made{Name: "b"}), eventstore.Claim{Name: "username", Hash: "u"}, email)
	if !errors.As(err, &taken) || taken.Claim != "email" || taken.Holder != "a" {
		t.Fatalf("second claim: %v", err)
	}
	wantHistory(t, s, "b", "")

	release := email
	release.Release = true
	if _, err = s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "a2"}), release); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "b", eventstore.Tail{}, build(t, "b", made{Name: "b"}), email); err != nil {
		t.Fatalf("claim after release: %v", err)
	}
	for _, bad := range []eventstore.Claim{{Name: "e.mail", Hash: "x"}, {Name: "email", Hash: "a.b"}, {Name: "email", Hash: "*"}, {Name: "", Hash: "x"}} {
		if _, err := s.Append(t.Context(), "c", eventstore.Tail{}, build(t, "c", made{Name: "c"}), bad); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("claim %+v: %v", bad, err)
		}
	}
}

func TestClaimRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	for round := range 20 {
		var (
			wg   sync.WaitGroup
			wins atomic.Int32
		)
		for i := range 4 {
			s := eventstore.New(srv.JetStream(t), things, types)
			id := fmt.Sprintf("r%d-%d", round, i)
			events := build(t, id, made{Name: id})
			wg.Go(func() {
				_, err := s.Append(t.Context(), id, eventstore.Tail{}, events, eventstore.Claim{Name: "email", Hash: fmt.Sprint(round)})
				switch {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, eventstore.ErrTaken):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d has %d winners", round, wins.Load())
		}
	}
}

// TestLostAcknowledgement cuts the connection after the stream stored the events and
// before the client heard of it.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		data   []event.Data
		claims []eventstore.Claim
		others bool // somebody else appends before the client is back
	}{
		{name: "single", data: []event.Data{made{Name: "a"}}},
		{name: "batch", data: []event.Data{made{Name: "a"}, named{Name: "b"}}},
		{name: "claim", data: []event.Data{made{Name: "a"}}, claims: []eventstore.Claim{{Name: "email", Hash: "h"}}},
		{name: "others", data: []event.Data{made{Name: "a"}}, others: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			observer := newStore(t, srv)
			proxy := srv.Proxy(t)
			js, err := jetstream.New(natstest.Dial(t, proxy.URL()))
			if err != nil {
				t.Fatal(err)
			}
			feed, err := srv.Connect(t).SubscribeSync("feed.thing.>")
			if err != nil {
				t.Fatal(err)
			}
			s := eventstore.New(js, things, types)
			if _, _, err := s.Load(t.Context(), "a"); err != nil { // connected and warm
				t.Fatal(err)
			}
			proxy.MuteAfter("HPUB thing.")
			events := build(t, "a", c.data...)
			type outcome struct {
				tail eventstore.Tail
				err  error
			}
			result := make(chan outcome, 1)
			go func() {
				tail, err := s.Append(t.Context(), "a", eventstore.Tail{}, events, c.claims...)
				result <- outcome{tail, err}
			}()
			for range c.data {
				if _, err := feed.NextMsg(10 * time.Second); err != nil {
					t.Fatal(err)
				}
			}
			proxy.Cut()
			want := ""
			for _, d := range c.data {
				want = strings.TrimSpace(want + " " + names([]eventstore.Recorded{{Data: d}}))
			}
			if c.others {
				mustAppend(t, observer, "a", wantAny(t, observer, "a"), named{Name: "other"})
				want += " other"
			}
			got := <-result
			if got.err != nil {
				t.Fatal(got.err)
			}
			if got.tail.Version != uint64(len(c.data)) {
				t.Errorf("append returned version %d", got.tail.Version)
			}
			wantHistory(t, observer, "a", want)
		})
	}
}

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
		"bare":             {Subject: "thing.named.a", Data: []byte("hello")},
		"empty":            {Subject: "thing.named.a"},
		"binary garbage":   {Subject: "thing.named.a", Data: []byte{0xff, 0, 1}, Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"\xff"}}},
		"version gap":      forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"9"} }),
		"huge version":     forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"9223372036854775807"} }),
		"old version":      forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"2"} }),
		"no version":       forge(func(m *nats.Msg) { delete(m.Header, "ce-aggregateversion") }),
		"second beginning": forge(func(m *nats.Msg) { m.Header["ce-aggregateversion"] = []string{"1"}; delete(m.Header, "ce-previous") }),
		"wrong previous":   forge(func(m *nats.Msg) { m.Header["ce-previous"] = []string{"1"} }),
		"previous ahead":   forge(func(m *nats.Msg) { m.Header["ce-previous"] = []string{"999999"} }),
		"huge step":        forge(func(m *nats.Msg) { m.Header["ce-step"] = []string{"900000000"} }),
		"step without one": forge(func(m *nats.Msg) { m.Header["ce-step"] = []string{"2"} }),
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

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	good := build(t, "a", made{Name: "x"})
	for _, id := range []string{"", "*", ">", "a.b", "a b", "a\r\nb", "ü", strings.Repeat("x", 129)} {
		if _, err := s.Append(t.Context(), id, eventstore.Tail{}, good); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("append to %q: %v", id, err)
		}
		if _, _, err := s.Load(t.Context(), id); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("load %q: %v", id, err)
		}
	}
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, nil); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("no events: %v", err)
	}
	if _, err := s.Append(t.Context(), "b", eventstore.Tail{}, good); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("events of another aggregate: %v", err)
	}
	large := build(t, "a", made{Name: strings.Repeat("x", eventstore.MaxMessageSize)})
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, large); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("a large event: %v", err)
	}
	many := make([]event.Data, 1001)
	for i := range many {
		many[i] = named{Name: "x"}
	}
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, build(t, "a", many...)); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("1,001 events: %v", err)
	}
	injected := build(t, "a", made{Name: "x"})
	injected[0].UserID = "x\r\nNats-Rollup: all"
	if _, err := s.Append(t.Context(), "a", eventstore.Tail{}, injected); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("a line break in an attribute: %v", err)
	}
	wantHistory(t, s, "a", "")
}

func TestCancelledAppendSaysSo(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Append(ctx, "a", eventstore.Tail{}, build(t, "a", made{Name: "x"})); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("append without a server: %v", err)
	}
}
