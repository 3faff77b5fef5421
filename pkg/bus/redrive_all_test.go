package bus_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
)

// The letter of a message that did not fit is redriven with the message from its stream,
// as long as that is there.
func TestRedriveOfATruncatedLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything)
	if _, err := w.js.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}, MaxMsgSize: 100 << 10,
	}); err != nil {
		t.Fatal(err)
	}
	g, box := w.redrivable(t, "mailer"), bus.NewLetterbox(w.js)
	var cured atomic.Bool
	got := make(chan bus.Message, 10)
	startGroup(t, w.js, g, bus.Config{}, bus.OnMessage(func(_ context.Context, m bus.Message) error {
		if !cured.Load() {
			return bus.Drop(errFlaky)
		}
		got <- m
		return nil
	}))
	large := bytes.Repeat([]byte("x"), 300<<10)
	for range 2 {
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "order.placed", Header: nats.Header{"a": {"b"}}, Data: large}); err != nil {
			t.Fatal(err)
		}
	}
	letters := waiting(t, box, 2)
	orders, err := w.js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := orders.DeleteMsg(t.Context(), letters[0].Sequence); err != nil {
		t.Fatal(err)
	}
	cured.Store(true)
	var no *bus.NotRedrivableError
	if err := box.Redrive(t.Context(), letters[0].ID); !errors.As(err, &no) || !strings.Contains(no.Reason, "gone") {
		t.Errorf("redriven without its message: %v", err)
	}
	redrive(t, box, letters[1].ID)
	m := receive(t, got, 1)[0]
	if !bytes.Equal(m.Data, large) || m.Header.Get("a") != "b" || m.Sequence != letters[1].Sequence || m.Stream != "ORDERS" {
		t.Errorf("handled %d bytes, header %v, sequence %d", len(m.Data), m.Header, m.Sequence)
	}
	if left := waiting(t, box, 1)[0]; left.ID != letters[0].ID {
		t.Errorf("left is %s", left.ID)
	}
}

// What somebody publishes under the subjects of redrive messages becomes a dead letter
// and never reaches a handler.
func TestForgedRedrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box, p := bus.NewLetterbox(w.js), newPoisoned()
	c := startGroup(t, w.js, w.redrivable(t, "mailer"), bus.Config{}, bus.On(p.handle))
	place(t, w.js, "o-1", 7)
	letter := waiting(t, box, 1)[0]
	p.cured.Store(true)
	forged := []nats.Header{
		nil,
		{"Dead-Letter-Id": {letter.ID}},
		{"Dead-Letter-Id": {letter.ID}, "Dead-Letter-Consumer": {"mailer"}, "Dead-Letter-Stream": {"ORDERS"}, "Dead-Letter-Sequence": {"1"}, "Dead-Letter-Attempts": {"1"}},
		{"Dead-Letter-Id": {letter.ID}, "Dead-Letter-Consumer": {"mailer"}, "Dead-Letter-Stream": {"ORDERS"}, "Dead-Letter-Sequence": {"2"}, "Dead-Letter-Attempts": {"1"}, "Dead-Letter-Position": {"1"}},
		{"Dead-Letter-Id": {idOf("packer", 1)}, "Dead-Letter-Consumer": {"packer"}, "Dead-Letter-Stream": {"ORDERS"}, "Dead-Letter-Sequence": {"1"}, "Dead-Letter-Attempts": {"1"}, "Dead-Letter-Position": {"1"}},
	}
	for _, h := range forged {
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "deadletter.redrive.mailer.order.placed.o-1", Header: h, Data: []byte("hello")}); err != nil {
			t.Fatal(err)
		}
	}
	letters := waiting(t, box, 1+len(forged))
	for _, l := range letters[:len(forged)] {
		if l.Consumer != "mailer-redrive" || l.Reason != bus.ReasonUndecodable || string(l.Data) != "hello" {
			t.Errorf("letter %+v", l)
		}
		var no *bus.NotRedrivableError
		if err := box.Redrive(t.Context(), l.ID); !errors.As(err, &no) {
			t.Errorf("redriven: %v", err)
		}
		if err := box.Discard(t.Context(), l.ID); err != nil {
			t.Error(err)
		}
	}
	if left := waiting(t, box, 1)[0]; left.ID != letter.ID || len(p.handled) != 0 {
		t.Errorf("left is %+v, handled %d", left, len(p.handled))
	}
	eventually(t, func() string {
		if err := c.Health(); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Letters are redriven in the order of their messages, page by page.
func TestRedriveAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, box, p := w.redrivable(t, "mailer"), bus.NewLetterbox(w.js), newPoisoned()
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(p.handle))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 10
	for i := range n {
		place(t, w.js, "o-1", i)
	}
	letters := waiting(t, box, n)
	stop(t, c)
	for _, i := range []int{9, 4} { // renewed: they lie behind the others now
		republish(t, w, letters[i], "")
		deleteLetter(t, w, letters[i].Position)
	}
	if _, err := w.js.Publish(t.Context(), "deadletter.mailer.order.placed.x", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	redriven, next, skipped := 0, "", []bus.Skipped(nil)
	for pages := 1; ; pages++ {
		done, err := box.RedriveAll(t.Context(), bus.LetterFilter{Type: "order.placed"}, next, 3)
		if err != nil {
			t.Fatal(err)
		}
		redriven, next, skipped = redriven+done.Letters, done.Next, append(skipped, done.Skipped...)
		if next == "" {
			if pages != 4 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if redriven != n || len(skipped) != 0 {
		t.Errorf("%d redriven, skipped %v", redriven, skipped)
	}
	done, err := box.RedriveAll(t.Context(), bus.LetterFilter{Reason: bus.ReasonForeign}, "", 3)
	if err != nil || done.Letters != 0 || len(done.Skipped) != 1 || !strings.Contains(done.Skipped[0].Reason, "no dead letter") {
		t.Errorf("of what is no letter: %+v, %v", done, err)
	}
	if _, err := box.RedriveAll(t.Context(), bus.LetterFilter{}, "?", 3); !errors.Is(err, bus.ErrLetterCursor) {
		t.Errorf("with a bad cursor: %v", err)
	}
	p.cured.Store(true)
	startGroup(t, w.js, g, bus.Config{}, bus.On(p.handle))
	var order []int
	for _, e := range receive(t, p.handled, n) {
		order = append(order, e.Data.N)
	}
	if !slices.IsSorted(order) {
		t.Errorf("handled in the order %v", order)
	}
}
