package eventstore_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// model is what a stream should hold, and the hands that change it.
type model struct {
	store   *eventstore.Store
	stream  jetstream.Stream
	resumed *eventstore.Reader // follows the stream as it grows
	next    uint64             // what resumed reads next

	events  map[string][]string        // per aggregate, what was appended
	at      map[uint64]string          // by sequence, what was appended
	tails   map[string]eventstore.Tail // as the last append left them
	garbage []uint64
	count   int
}

var ids = rapid.SampledFrom([]string{"a", "b", "c"})

// append adds one to three events to an aggregate. Garbage may have come since the
// tail was seen, which is a conflict without events.
func (m *model) append(t *rapid.T) {
	id := ids.Draw(t, "id")
	tail := m.tails[id]
	if rapid.Bool().Draw(t, "load first") {
		var err error
		if _, tail, err = m.store.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var data []event.Data
	for range rapid.IntRange(1, 3).Draw(t, "events") {
		m.count++
		data = append(data, named{Name: fmt.Sprint("n", m.count)})
	}
	var claims []eventstore.Claim
	if rapid.Bool().Draw(t, "claim") {
		claims = []eventstore.Claim{{Name: "name", Hash: fmt.Sprint("h", m.count)}}
	}
	events := make([]event.Event, len(data))
	for i, d := range data {
		var err error
		if events[i], err = types.New(t.Context(), id, d); err != nil {
			t.Fatal(err)
		}
	}
	for {
		done, err := m.store.Append(t.Context(), id, tail, events, claims...)
		var conflict *eventstore.ConflictError
		if errors.As(err, &conflict) && len(conflict.Events) == 0 && conflict.Tail.Version == tail.Version && conflict.Tail.Last != tail.Last {
			tail = conflict.Tail
			continue
		}
		if err != nil {
			t.Fatalf("append after %+v: %v %+v", tail, err, conflict)
		}
		m.tails[id] = done
		break
	}
	for i, e := range events {
		name := data[i].(named).Name
		m.events[id] = append(m.events[id], name)
		m.at[e.Sequence] = name
	}
}

// appendLate expects an aggregate to be where it no longer is.
func (m *model) appendLate(t *rapid.T) {
	id := ids.Draw(t, "id")
	if len(m.events[id]) == 0 {
		return // there is nothing to be late for
	}
	e, err := types.New(t.Context(), id, named{Name: "late"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.store.Append(t.Context(), id, eventstore.Tail{}, []event.Event{e})
	var conflict *eventstore.ConflictError
	if !errors.As(err, &conflict) || names(conflict.Events) != strings.Join(m.events[id], " ") {
		t.Fatalf("a late append to %v: %v", m.events[id], err)
	}
}

// litter publishes what no store has written.
func (m *model) litter(t *rapid.T) {
	id := ids.Draw(t, "id")
	tail := m.tails[id]
	e, err := types.New(t.Context(), id, named{Name: "evil"})
	if err != nil {
		t.Fatal(err)
	}
	e.Version, e.Step, e.Previous = tail.Version+1, 1, slices.Clone(tail.Previous)
	switch rapid.SampledFrom([]string{"gap", "old", "unlinked", "step", "bare", "structured", "data", "type", "schema", "claimed root", "copy", "fork", "fork"}).Draw(t, "kind") {
	case "gap":
		e.Version += rapid.Uint64Range(1, 5).Draw(t, "ahead")
	case "old":
		e.Version = rapid.Uint64Range(0, tail.Version).Draw(t, "version")
	case "unlinked":
		e.Version++
		e.Previous = nil
	case "step":
		e.Version, e.Step = e.Version+2, 2
	case "bare":
		m.publish(t, &nats.Msg{Subject: e.HistorySubject(), Data: []byte("garbage")})
		return
	case "structured":
		e.Version += 3
		body, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		m.publish(t, &nats.Msg{Subject: e.HistorySubject(), Data: body})
		return
	case "data":
		e.Data = []byte(`{"name":""}`)
	case "type":
		e.Type, e.DataSchema, e.Version = "thing.exploded", "/schemas/thing.exploded/v1", e.Version+1
	case "schema":
		e.DataSchema, e.Version = "/schemas/thing.named/v9", e.Version+1
	case "claimed root":
		if tail.Version == 0 {
			e.Version = 2
			break
		}
		e.Version, e.Previous = 1, nil
		header, body := event.Encode(e)
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
		header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{"thing.*." + id}
		m.publish(t, &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body})
		return
	case "copy":
		if tail.Version == 0 {
			e.Version = 2
			break
		}
		original, err := m.stream.GetMsg(t.Context(), rapid.SampledFrom(m.of(id)).Draw(t, "original"))
		if err != nil {
			t.Fatal(err)
		}
		header := make(nats.Header)
		for name, values := range original.Header {
			if !strings.HasPrefix(name, "Nats-") {
				header[name] = values
			}
		}
		m.publish(t, &nats.Msg{Subject: original.Subject, Header: header, Data: original.Data})
		return
	case "fork": // the stream vouches for what came before
		e.Version = rapid.Uint64Range(1, tail.Version+1).Draw(t, "version")
		e.Previous = nil
		if before := m.of(id)[:min(e.Version, tail.Version+1)-1]; len(before) > 0 {
			e.Previous = slices.Clone(before[max(0, len(before)-event.MaxPrevious):])
			slices.Reverse(e.Previous)
		}
		var last uint64
		if newest, err := m.stream.GetLastMsgForSubject(t.Context(), things.Of(id)); err == nil {
			last = newest.Sequence
		}
		litter := last > tail.Sequence
		if e.Version > tail.Version && !litter {
			return // nothing but events to build on
		}
		if e.Version > tail.Version || litter && rapid.Bool().Draw(t, "on litter") {
			e.Previous = []uint64{last}
		}
		header, body := event.Encode(e)
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{fmt.Sprint(last)}
		header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{things.Of(id)}
		m.publish(t, &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body})
		return
	}
	header, body := event.Encode(e)
	m.publish(t, &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body})
}

// of returns where the events of id are.
func (m *model) of(id string) []uint64 {
	var sequences []uint64
	for sequence, name := range m.at {
		if slices.Contains(m.events[id], name) {
			sequences = append(sequences, sequence)
		}
	}
	slices.Sort(sequences)
	return sequences
}

func (m *model) publish(t *rapid.T, msg *nats.Msg) {
	ack, err := m.store.JetStream().PublishMsg(t.Context(), msg, jetstream.WithRetryAttempts(0))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		m.garbage = append(m.garbage, ack.Sequence)
	case !errors.As(err, &refused):
		t.Fatal(err)
	}
}

// clean deletes some garbage, as the guard does.
func (m *model) clean(t *rapid.T) {
	if len(m.garbage) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.garbage)-1).Draw(t, "garbage")
	if err := m.stream.DeleteMsg(t.Context(), m.garbage[i]); err != nil {
		t.Fatal(err)
	}
	m.garbage = slices.Delete(m.garbage, i, i+1)
}

// read gives the message at sequence to a reader and wants the right answer.
func (m *model) read(t *rapid.T, r *eventstore.Reader, sequence uint64) {
	msg, err := m.stream.GetMsg(t.Context(), sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(msg.Subject, ".") != 2 {
		return // a claim
	}
	e, err := r.Check(t.Context(), msg.Subject, msg.Header, msg.Data, sequence)
	want, genuine := m.at[sequence]
	switch {
	case genuine && (err != nil || string(e.Data) != fmt.Sprintf(`{"name":%q}`, want)):
		t.Fatalf("event %s at %d is read as %s, %v", want, sequence, e.Data, err)
	case !genuine && !errors.Is(err, &eventstore.ForeignError{}):
		t.Fatalf("garbage at %d is read as %+v, %v", sequence, e, err)
	}
}

func (m *model) last(t *rapid.T) uint64 {
	info, err := m.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.LastSeq
}

// follow lets the resumed reader read what is new, now and then twice.
func (m *model) follow(t *rapid.T) {
	for last := m.last(t); m.next <= last; m.next++ {
		m.read(t, m.resumed, m.next)
		if rapid.IntRange(0, 3).Draw(t, "redeliver") == 0 {
			m.read(t, m.resumed, rapid.Uint64Range(1, m.next).Draw(t, "again"))
		}
	}
}

// check compares every aggregate with what was appended.
func (m *model) check(t *rapid.T) {
	for _, id := range slices.Sorted(maps.Keys(m.events)) {
		want := m.events[id]
		events, tail, err := m.store.Load(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(events); got != strings.Join(want, " ") || tail.Version != uint64(len(want)) || tail.Sequence != m.tails[id].Sequence {
			t.Fatalf("history of %s is %q at version %d, want %q", id, got, tail.Version, want)
		}
		after := rapid.IntRange(0, len(want)).Draw(t, "after")
		var known eventstore.Tail
		if after > 0 {
			known = eventstore.Tail{Version: uint64(after), Sequence: events[after-1].Sequence}
		}
		events, _, err = m.store.LoadLatest(t.Context(), id, known)
		if got := names(events); err != nil || got != strings.Join(want[after:], " ") {
			t.Fatalf("history of %s after %d is %q, %v, want %q", id, after, got, err, want[after:])
		}
	}
}

// TestOnlyWhatWasAppendedIsSeen mixes appends to several aggregates with garbage of
// many kinds and with its removal. Load and every reader, whether it follows, starts
// in the middle or meets messages again, see exactly what was appended.
func TestOnlyWhatWasAppendedIsSeen(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	rapid.Check(t, func(t *rapid.T) {
		config := eventstore.HistoryConfig(things)
		config.Storage = jetstream.MemoryStorage // the same rules, quicker
		stream, err := js.CreateStream(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := js.DeleteStream(t.Context(), things.Name); err != nil {
				t.Error(err)
			}
		}()
		store := eventstore.New(js, things, types)
		m := &model{
			store: store, stream: stream, resumed: store.Reader(), next: 1,
			events: make(map[string][]string), at: make(map[uint64]string), tails: make(map[string]eventstore.Tail),
		}
		t.Repeat(map[string]func(*rapid.T){
			"append":      m.append,
			"append more": m.append,
			"append late": m.appendLate,
			"litter":      m.litter,
			"clean":       m.clean,
			"follow":      m.follow,
			"check":       m.check,
		})
		m.follow(t)
		m.check(t)
		last := m.last(t)
		if last == 0 {
			return
		}
		fresh, middle, shuffled := store.Reader(), store.Reader(), store.Reader()
		from := rapid.Uint64Range(1, last).Draw(t, "from")
		for sequence := uint64(1); sequence <= last; sequence++ {
			m.read(t, fresh, sequence)
			if sequence >= from {
				m.read(t, middle, sequence)
			}
			m.read(t, shuffled, rapid.Uint64Range(1, last).Draw(t, "any"))
		}
	})
}

// TestReadersOfDeliveries reads through a consumer what the property test reads
// message by message.
func TestReadersOfDeliveries(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "one"}, named{Name: "two"})
	if err := srv.Connect(t).Publish("thing.named.a", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "b", eventstore.Tail{}, made{Name: "other"})
	consumer, err := s.JetStream().CreateConsumer(t.Context(), "THINGS", jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: types.Subjects(),
	})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "a", wantHistory(t, s, "a", "one two"), named{Name: "three"})
	reader := s.Reader()
	for _, round := range []string{"delivered", "redelivered"} {
		var (
			got  []string
			msgs []jetstream.Msg
		)
		for range 5 {
			msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			e, genuine, err := reader.Read(t.Context(), msg)
			if err != nil {
				t.Fatal(err)
			}
			if genuine {
				got = append(got, e.HistorySubject())
			}
			msgs = append(msgs, msg)
		}
		for _, msg := range msgs {
			if err := msg.Nak(); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(got)
		if want := []string{"thing.made.a", "thing.made.b", "thing.named.a", "thing.named.a"}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", round, got, want)
		}
	}
}
