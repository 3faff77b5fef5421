package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
)

func TestEraseDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, subject := range []string{"order.placed.a", "order.placed.b", "order.placed.a"} {
		err := bus.PublishDeadLetter(t.Context(), w.js, bus.DeadLetter{Consumer: "mailer", Stream: "ORDERS", Sequence: uint64(i) + 1, Subject: subject})
		if err != nil {
			t.Fatal(err)
		}
	}
	// What is no letter, and a letter that is there no more, are no obstacles.
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "deadletter.x", Header: nats.Header{"Status": {"409"}}}); err != nil {
		t.Fatal(err)
	}
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err = bus.EraseDeadLetters(t.Context(), w.js, func(l bus.DeadLetter) bool {
			return strings.HasSuffix(l.Subject, ".a") || l.Subject == "deadletter.x"
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 1 || info.State.FirstSeq != 2 {
		t.Errorf("left are %d messages from %d on, %v", info.State.Msgs, info.State.FirstSeq, err)
	}
}

// A letter is erased though a replica of the stream has not got it yet.
func TestEraseDeadLettersThatReplicasLack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}, AllowDirect: true}); err != nil {
		t.Fatal(err)
	}
	behind := w.Behind(t)
	erase := func() {
		t.Helper()
		if err := bus.EraseDeadLetters(t.Context(), behind, func(l bus.DeadLetter) bool { return l.Subject == "order.placed.b" }); err != nil {
			t.Fatal(err)
		}
	}
	for i, subject := range []string{"order.placed.a", "order.placed.b"} {
		letter := bus.DeadLetter{Consumer: "mailer", Stream: "ORDERS", Sequence: uint64(i) + 1, Subject: subject}
		if err := bus.PublishDeadLetter(t.Context(), w.js, letter); err != nil {
			t.Fatal(err)
		}
		stream, err := behind.Stream(t.Context(), bus.DeadLetterStream)
		if err != nil {
			t.Fatal(err)
		}
		for next := range uint64(4) { // the first time this is what the replica has for ever
			_, _ = stream.GetMsg(t.Context(), next+1, jetstream.WithGetMsgSubject(">"))
		}
		erase()
	}
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if left := stream.CachedInfo().State.Msgs; left != 1 {
		t.Errorf("left are %d letters", left)
	}
}

// What is settled is gone from the stream, whether it was handled or given up.
func TestConsumerErases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything)
	start(t, w.js, bus.Config{Erases: true}, bus.OnMessage(func(_ context.Context, m bus.Message) error {
		if m.Sequence%2 == 0 {
			return bus.Drop(errors.New("no good"))
		}
		return nil
	}))
	for range 4 {
		if _, err := w.js.Publish(t.Context(), "order.placed", []byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	w.letters(t, 2)
	stream, err := w.js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := stream.GetMsg(t.Context(), 1, jetstream.WithGetMsgSubject(">")); !errors.Is(err, jetstream.ErrMsgNotFound) {
			return "a message is left"
		}
		return ""
	})
	w.settled(t, 4)
}
