package eventstore_test

import (
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

// Secrets can be erased: a secret begins with kept and may end with erased.
var (
	secrets     = eventstore.Stream{Name: "SECRETS", Entity: "secret"}
	secretTypes = event.NewRegistry("secret", event.Define[kept](1).First(), event.Define[told](1), event.Define[erased](1))
)

type kept struct {
	Text string `json:"text"`
}

func (kept) EventType() string { return "secret.kept" }

type told struct{ kept }

func (told) EventType() string { return "secret.told" }

type erased struct{}

func (erased) EventType() string { return "secret.erased" }

func newSecrets(t testing.TB, srv *natstest.Server) *eventstore.Store {
	t.Helper()
	js := srv.JetStream(t)
	if _, err := js.CreateStream(t.Context(), eventstore.HistoryConfig(secrets)); err != nil {
		t.Fatal(err)
	}
	s := eventstore.New(js, secrets, secretTypes)
	if err := errors.Join(s.Anchor(t.Context()), s.Anchor(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s
}

func secretEvent(t testing.TB, id string, data event.Data) event.Event {
	t.Helper()
	e, err := secretTypes.New(t.Context(), id, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tell appends each of data as a decision of its own.
func tell(t testing.TB, s *eventstore.Store, id string, claims []eventstore.Claim, data ...event.Data) eventstore.Tail {
	t.Helper()
	_, tail, err := s.Load(t.Context(), id)
	for _, d := range data {
		if err == nil {
			tail, err = s.Append(t.Context(), id, tail, []event.Event{secretEvent(t, id, d)}, claims...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

// wantTypes checks what a history consists of, by the last letters of the types.
func wantTypes(t testing.TB, s *eventstore.Store, id, want string) eventstore.Tail {
	t.Helper()
	events, tail, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s%d", strings.TrimPrefix(e.Type, "secret."), e.Version))
	}
	if got := strings.Join(all, " "); got != want {
		t.Errorf("the history of %s is %q, want %q", id, got, want)
	}
	return tail
}

func TestErase(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newSecrets(t, srv)
	claim, release := eventstore.Claim{Name: "text", Hash: "h1"}, eventstore.Claim{Name: "text", Hash: "h1", Release: true}
	tell(t, s, "a", []eventstore.Claim{claim}, kept{"one"})
	tell(t, s, "b", nil, kept{"other"})
	tell(t, s, "a", nil, told{kept{"two"}})
	if err := s.Erase(t.Context(), "a"); !errors.Is(err, eventstore.ErrNotErased) {
		t.Errorf("a living aggregate: %v", err)
	}
	wantTypes(t, s, "a", "kept1 told2")
	tail := tell(t, s, "a", []eventstore.Claim{release}, erased{})
	wantTypes(t, s, "a", "kept1 told2 erased3")
	fresh := s.Reader()
	for range 2 {
		if err := s.Erase(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if now := wantTypes(t, s, "a", "erased3"); now.Version != 3 || now.Sequence != tail.Sequence || now.Last != tail.Last {
			t.Errorf("the tail is %+v, was %+v", now, tail)
		}
	}
	if got := readTypes(t, s, fresh); got != "kept1 erased3" { // of b and of a
		t.Errorf("a reader from the start sees %q", got)
	}
	stream, err := s.JetStream().Stream(t.Context(), "SECRETS")
	if err != nil {
		t.Fatal(err)
	}
	// The anchor, b's event, a's erasure and the release are left.
	if state := stream.CachedInfo().State; state.Msgs != 4 || state.FirstSeq != 1 {
		t.Errorf("the stream has %d messages from %d on", state.Msgs, state.FirstSeq)
	}
	tell(t, s, "c", []eventstore.Claim{claim}, kept{"one again"})
	// What is decided after it continues it.
	tell(t, s, "a", nil, told{kept{"four"}})
	wantTypes(t, s, "a", "erased3 told4")
	for version, want := range []int{2, 2, 2, 1, 0} {
		if events, _, err := s.LoadAfter(t.Context(), "a", tailOf(t, s, "a", uint64(version))); err != nil || len(events) != want {
			t.Errorf("%d events after version %d, %v", len(events), version, err)
		}
	}
}

// readTypes returns the types that a consumer of the stream finds genuine.
func readTypes(t *testing.T, s *eventstore.Store, r *eventstore.Reader) string {
	t.Helper()
	stream, err := s.JetStream().Stream(t.Context(), s.Stream().Name)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for next := uint64(1); ; {
		m, err := stream.GetMsg(t.Context(), next, jetstream.WithGetMsgSubject(s.Stream().History()))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return strings.Join(all, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		next = m.Sequence + 1
		if e, err := r.Check(t.Context(), m.Subject, m.Header, m.Data, m.Sequence); err == nil {
			all = append(all, fmt.Sprintf("%s%d", strings.TrimPrefix(e.Type, "secret."), e.Version))
		}
	}
}

// Whatever a crash leaves, the aggregate stays erased, and what was before is nobody's
// to judge.
func TestEraseInterrupted(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newSecrets(t, srv)
	for left := range 4 {
		id := fmt.Sprintf("id%d", left)
		first := tell(t, s, id, nil, kept{"one"})
		tail := tell(t, s, id, nil, told{kept{"two"}}, told{kept{"three"}}, erased{})
		stream, err := s.JetStream().Stream(t.Context(), "SECRETS")
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(3 - left) {
			if err := stream.SecureDeleteMsg(t.Context(), first.Sequence+i); err != nil {
				t.Fatal(err)
			}
		}
		if left < 3 {
			wantTypes(t, s, id, "erased4")
		}
		for i := uint64(3 - left); i < 3 && left < 3; i++ {
			m, err := stream.GetMsg(t.Context(), first.Sequence+i)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Reader().Check(t.Context(), m.Subject, m.Header, m.Data, m.Sequence); !eventstore.IsErased(err) {
				t.Errorf("%d left: message %d is judged: %v", left, i, err)
			}
		}
		if err := s.Erase(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if now := wantTypes(t, s, id, "erased4"); now.Sequence != tail.Sequence {
			t.Errorf("the tail is %+v, was %+v", now, tail)
		}
	}
}

// Somebody else's erasure of a living aggregate changes nothing, before and after the
// true one.
func TestForgedErasure(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newSecrets(t, srv)
	nc := srv.Connect(t)
	// forge publishes an erasure that has all but one thing right.
	forge := func(id string, tail eventstore.Tail, change func(e *event.Event, h nats.Header)) {
		t.Helper()
		e := secretEvent(t, id, erased{})
		e.Version, e.Step, e.Previous = tail.Version+1, 1, tail.Previous
		change(&e, nil)
		h, body := event.Encode(e)
		h[jetstream.ExpectedLastSubjSeqHeader] = []string{fmt.Sprint(tail.Last)}
		h[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{secrets.Of(id)}
		change(&e, h)
		if _, err := nc.RequestMsg(&nats.Msg{Subject: e.HistorySubject(), Header: h, Data: body}, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	forgeries := map[string]func(e *event.Event, h nats.Header){
		"version":  func(e *event.Event, _ nats.Header) { e.Version = 9 },
		"previous": func(e *event.Event, _ nats.Header) { e.Previous = []uint64{1} },
		"none":     func(e *event.Event, _ nats.Header) { e.Previous = nil },
		"step":     func(e *event.Event, _ nats.Header) { e.Step = 3 },
		"nothing expected": func(e *event.Event, h nats.Header) {
			e.Version = 7
			delete(h, jetstream.ExpectedLastSubjSeqHeader)
			delete(h, jetstream.ExpectedLastSubjSeqSubjHeader)
		},
	}
	for name, change := range forgeries {
		id := strings.ReplaceAll(name, " ", "-")
		tail := tell(t, s, id, nil, kept{"one"}, told{kept{"two"}})
		forge(id, tail, change)
		now := wantTypes(t, s, id, "kept1 told2")
		if now.Last == tail.Last {
			t.Fatalf("%s: the stream refused it", name)
		}
		if err := s.Erase(t.Context(), id); !errors.Is(err, eventstore.ErrNotErased) {
			t.Errorf("%s: erase: %v", name, err)
		}
		stream, err := s.JetStream().Stream(t.Context(), "SECRETS")
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.GetMsg(t.Context(), now.Last)
		if err != nil {
			t.Fatal(err)
		}
		var foreign *eventstore.ForeignError
		if _, err := s.Reader().Check(t.Context(), m.Subject, m.Header, m.Data, m.Sequence); !errors.As(err, &foreign) {
			t.Errorf("%s: the guard is told %v", name, err)
		}
		// It is still there when the true one comes, and another follows.
		tell(t, s, id, nil, told{kept{"three"}}, erased{})
		after := wantTypes(t, s, id, "kept1 told2 told3 erased4")
		forge(id, after, func(e *event.Event, _ nats.Header) { e.Version = 9 })
		if err := s.Erase(t.Context(), id); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if last := wantTypes(t, s, id, "erased4"); last.Sequence != after.Sequence {
			t.Errorf("%s: the tail is %+v, was %+v", name, last, after)
		}
	}
}

// What the server refuses to delete is not gone because a replica has not got it yet.
func TestOverwriteAsksTheLeader(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	stream, err := srv.JetStream(t).CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}, AllowDirect: true, DenyDelete: true})
	if err != nil {
		t.Fatal(err)
	}
	behind := srv.Behind(t)
	replica, err := behind.Stream(t.Context(), "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replica.GetMsg(t.Context(), 1); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Fatalf("before it is there: %v", err)
	}
	if _, err := srv.JetStream(t).Publish(t.Context(), "kept", nil); err != nil {
		t.Fatal(err)
	}
	if err := eventstore.Overwrite(t.Context(), behind, "KEPT", 1); err == nil {
		t.Error("Overwrite of a message that stays reports success")
	}
	if _, err := stream.GetMsg(t.Context(), 1); err != nil {
		t.Errorf("after that: %v", err)
	}
	if err := eventstore.Overwrite(t.Context(), behind, "KEPT", 2); err != nil {
		t.Errorf("Overwrite of what is not there: %v", err)
	}
}
