package eventstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// garbage publishes what is no event on an aggregate's subjects.
func garbage(t *testing.T, s *eventstore.Store, subject string) uint64 {
	t.Helper()
	ack, err := s.JetStream().Publish(t.Context(), subject, []byte("garbage"))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// TestALoadCrossesGarbage: garbage that lies or lay between two events costs a load a look
// at the garbage, and not at every event.
func TestALoadCrossesGarbage(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	var want []string
	add := func(n int) {
		var data []event.Data
		for range n {
			want = append(want, fmt.Sprint("n", len(want)))
			data = append(data, named{Name: want[len(want)-1]})
		}
		mustAppend(t, s, "a", wantAny(t, s, "a"), data...)
	}
	var litter []uint64
	litter = append(litter, garbage(t, s, "thing.named.a")) // before the first event
	for range 30 {
		add(1)
	}
	litter = append(litter, garbage(t, s, "thing.named.a"), garbage(t, s, "thing.exploded.a"))
	add(3)
	litter = append(litter, garbage(t, s, "thing.made.a"))
	add(1)
	for range 30 {
		add(1)
	}

	nc := srv.Connect(t)
	reads, err := nc.SubscribeSync("$JS.API.STREAM.MSG.GET.THINGS")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	readers := jetstreamOf(t, nc)
	check := func(what string) {
		t.Helper()
		fresh := eventstore.New(readers, things, types)
		for range 2 {
			wantHistory(t, fresh, "a", strings.Join(want, " "))
		}
		events, _, err := fresh.LoadAfter(t.Context(), "a", tailOf(t, fresh, "a", 31))
		if err != nil || names(events) != strings.Join(want[31:], " ") {
			t.Errorf("%s: after 31 there is %s, %v", what, names(events), err)
		}
		last, err := nc.Request("$JS.API.STREAM.MSG.GET.THINGS", []byte(`{"seq":1000}`), 10*time.Second)
		if err != nil || len(last.Data) == 0 {
			t.Fatal(err)
		}
		asked := 0
		for {
			m, err := reads.NextMsg(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Data) == `{"seq":1000}` {
				break
			}
			asked++
		}
		if asked == 0 || asked > 60 { // 3 loads over 3 gaps and a few subjects; a scan asks for each of 65 events
			t.Errorf("%s: three loads asked the leader %d times", what, asked)
		}
	}
	check("with garbage")
	stream, err := s.JetStream().Stream(t.Context(), things.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range litter {
		if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	check("where garbage was")
}

func jetstreamOf(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// TestAForkDoesNotCount: messages that fit an older event, and that the stream stored on a
// true expectation, are not what came after that event, wherever a load meets them.
func TestAForkDoesNotCount(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	js := s.JetStream()
	want := []string{"0", "1", "2", "3", "4"}
	var (
		tail eventstore.Tail
		at   []uint64 // where the events are
	)
	for _, name := range want {
		tail = mustAppend(t, s, "a", tail, named{Name: name})
		at = append(at, tail.Sequence)
	}
	// fork publishes an event of version that continues what lies at previous, newest first.
	fork := func(version uint64, previous ...uint64) uint64 {
		e := build(t, "a", named{Name: "evil"})[0]
		e.Version, e.Step, e.Previous = version, 1, previous
		last, err := js.Conn().Request("$JS.API.DIRECT.GET.THINGS.thing.*.a", nil, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		header, body := event.Encode(e)
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{last.Header.Get(jetstream.SequenceHeader)}
		header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{"thing.*.a"}
		ack, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body})
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence
	}
	check := func() {
		t.Helper()
		tail = wantHistory(t, s, "a", strings.Join(want, " "))
		if tail.Sequence != at[len(at)-1] {
			t.Errorf("the tail is at %d, want %d", tail.Sequence, at[len(at)-1])
		}
		if got := readAll(t, s, s.Reader()); got != strings.Join(want, " ") {
			t.Errorf("a reader sees %q", got)
		}
	}
	older := func(n int) []uint64 {
		previous := slices.Clone(at[:n])
		slices.Reverse(previous)
		return previous
	}
	branch := fork(4, older(3)...)
	check()
	branch = fork(5, append([]uint64{branch}, older(3)...)...) // goes on with the fork
	check()
	fork(6, append([]uint64{branch}, older(3)...)...)
	check()
	fork(1)
	fork(2, at[0])
	check()
	for _, name := range []string{"5", "6"} { // life goes on behind it
		want = append(want, name)
		tail = mustAppend(t, s, "a", tail, named{Name: name})
		at = append(at, tail.Sequence)
		check()
	}
	fork(6, older(5)...) // in place of the one behind the gap
	check()
	fork(8, branch)
	check()
}
