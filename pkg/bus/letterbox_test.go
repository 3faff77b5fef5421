package bus_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

func publishLetter(t *testing.T, w *world, d bus.DeadLetter) {
	t.Helper()
	if err := bus.PublishDeadLetter(t.Context(), w.js, d); err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// letterOf is the letter of the n-th message, given up at n seconds past noon.
func letterOf(n int, consumer string, reason bus.Reason, subject string) bus.DeadLetter {
	at := noon.Add(time.Duration(n) * time.Second)
	return bus.DeadLetter{Consumer: consumer, Reason: reason, Stream: "ORDERS", Sequence: uint64(n), Subject: subject, FirstAt: at, LastAt: at}
}

func TestLetterFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := bus.NewLetterbox(w.js)
	publishLetter(t, w, letterOf(1, "mailer", bus.ReasonDropped, "order.placed.a"))
	publishLetter(t, w, letterOf(2, "mailer", bus.ReasonAttempts, "order.placed.b"))
	publishLetter(t, w, letterOf(3, "packer", bus.ReasonDropped, "order.paid.a"))
	other := letterOf(4, "mailer", bus.ReasonDropped, "order.placed.c")
	other.Header = nats.Header{"CE-Type": {"order.held"}}
	publishLetter(t, w, other)
	for want, f := range map[string]bus.LetterFilter{
		"4321":  {},
		"421":   {Consumer: "mailer"},
		"3":     {Consumer: "packer"},
		"":      {Consumer: "nobody"},
		"21":    {Type: "order.placed"},
		"4 ":    {Type: "order.held"},
		"431":   {Reason: bus.ReasonDropped},
		"432":   {From: noon.Add(2 * time.Second)},
		"2 1":   {To: noon.Add(3 * time.Second)},
		"2":     {From: noon.Add(2 * time.Second), To: noon.Add(3 * time.Second), Consumer: "mailer"},
		"  ":    {From: noon.AddDate(1000, 0, 0)},
		"4321 ": {From: noon.AddDate(-1000, 0, 0), To: noon.AddDate(1000, 0, 0)},
		"   ":   {Consumer: "packer", Reason: bus.ReasonAttempts},
	} {
		got := ""
		for _, l := range listed(t, box, f) {
			got += fmt.Sprint(l.Sequence)
		}
		if got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%+v chooses %s, want %s", f, got, want)
		}
	}
}

// A list goes on where it was, whatever comes and goes meanwhile.
func TestLettersComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box, other := bus.NewLetterbox(w.js), bus.NewLetterbox(w.js)
	const n = 30
	for i := 1; i <= n; i++ {
		publishLetter(t, w, letterOf(i, "mailer", bus.ReasonDropped, "order.placed.a"))
	}
	expected := uint64(n)
	before := uint64(0)
	for {
		met := 0
		for l, err := range box.List(t.Context(), bus.LetterFilter{}, before) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Sequence != expected {
				t.Fatalf("letter of message %d, want %d", l.Sequence, expected)
			}
			expected, before, met = expected-1, l.Position, met+1
			if met == 7 {
				break
			}
		}
		if met < 7 {
			break
		}
		// The one just seen goes, and so does the next; a new one comes.
		for _, sequence := range []uint64{expected + 1, expected} {
			if err := other.Discard(t.Context(), idOf("mailer", sequence)); err != nil {
				t.Fatal(err)
			}
		}
		expected--
		publishLetter(t, w, letterOf(1000+met+int(expected), "mailer", bus.ReasonDropped, "order.placed.a"))
	}
	if expected != 0 {
		t.Errorf("the list ended before the letter of message %d", expected)
	}
}

func idOf(consumer string, sequence uint64) string {
	return event.DeriveID(consumer, "ORDERS", fmt.Sprint(sequence))
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box, other := bus.NewLetterbox(w.js), bus.NewLetterbox(w.js)
	letter := letterOf(1, "mailer", bus.ReasonDropped, "order.placed.a")
	publishLetter(t, w, letter)
	publishLetter(t, w, letterOf(2, "mailer", bus.ReasonDropped, "order.placed.a"))
	letter.Redrives = 1
	republish(t, w, letter, "") // as a crash may leave it
	id := idOf("mailer", 1)
	if l, err := other.Get(t.Context(), id); err != nil || l.Redrives != 1 {
		t.Errorf("the letter is %+v, %v", l, err)
	}
	if got := len(listed(t, other, bus.LetterFilter{})); got != 2 {
		t.Errorf("%d letters, want 2", got)
	}
	if err := box.Discard(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bus.Letterbox{box, other, bus.NewLetterbox(w.js)} {
		if _, err := b.Get(t.Context(), id); !errors.Is(err, bus.ErrNoLetter) {
			t.Errorf("discarded, and there: %v", err)
		}
		if err := b.Discard(t.Context(), id); !errors.Is(err, bus.ErrNoLetter) {
			t.Errorf("discarded again: %v", err)
		}
		if got := len(listed(t, b, bus.LetterFilter{})); got != 1 {
			t.Errorf("%d letters are left", got)
		}
	}
	for _, malformed := range []string{"", "x", strings.ToUpper(idOf("mailer", 2)), strings.Repeat("9", 1000), "\xff"} {
		if err := box.Discard(t.Context(), malformed); !errors.Is(err, bus.ErrNoLetter) {
			t.Errorf("%q: %v", malformed, err)
		}
	}
}

// A letter that is renewed while it is discarded goes all the same.
func TestDiscardWhileItIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := bus.NewLetterbox(w.js)
	letter := letterOf(1, "mailer", bus.ReasonDropped, "order.placed.a")
	publishLetter(t, w, letter)
	republish(t, w, letter, "")
	if l := waiting(t, box, 1)[0]; l.Position != 2 {
		t.Fatalf("the letter is %+v", l)
	}
	deleteLetter(t, w, 1)
	if err := box.Discard(t.Context(), idOf("mailer", 1)); err != nil {
		t.Error(err)
	}
	w.empty(t)

	publishLetter(t, w, letterOf(2, "mailer", bus.ReasonDropped, "order.placed.a"))
	waiting(t, box, 1)
	republish(t, w, letterOf(2, "mailer", bus.ReasonDropped, "order.placed.a"), "")
	deleteLetter(t, w, 3)
	if l, err := box.Get(t.Context(), idOf("mailer", 2)); err != nil || l.Position != 4 {
		t.Errorf("the letter is %+v, %v", l, err)
	}
}

// What lies in the stream and is no letter is shown all the same, and can be discarded.
func TestLetterboxWithGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := bus.NewLetterbox(w.js)
	publishLetter(t, w, letterOf(1, "mailer", bus.ReasonDropped, "order.placed.a"))
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	genuine.Header.Del("Nats-Msg-Id")
	with := func(name, value string) nats.Header {
		h := maps.Clone(genuine.Header)
		h[name] = []string{value}
		return h
	}
	garbage := []*nats.Msg{
		{Subject: "deadletter.x"},
		{Subject: "deadletter.mailer.order.placed.a", Data: []byte("hello")},
		{Subject: "deadletter.mailer.order.placed.a", Header: nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}},
		{Subject: "deadletter.mailer.order.placed.a", Header: with("Dead-Letter-Sequence", "2")}, // another's id
		{Subject: "deadletter.mailer.order.placed.a", Header: with("Dead-Letter-Consumer", "packer")},
		{Subject: "deadletter.mailer.order.placed.a", Header: with("Dead-Letter-Error", "x\xff\x80")}, // a letter for all we know
		{Subject: "deadletter.mailer.order.placed.b", Header: with("Dead-Letter-Error", "x")},
		{Subject: "deadletter.mailer.order.placed.a", Header: with("Dead-Letter-Earlier", "x")},
		{Subject: "deadletter.mailer.order.placed.a", Header: with("Dead-Letter-Redrives", "x")},
		{Subject: "deadletter.mailer.order.placed.a", Header: with("Dead-Letter-Stored-At", "x")},
	}
	for _, m := range garbage {
		if _, err := w.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	publishRaw(t, w, "deadletter.\xff.\x01", "NATS/1.0\r\nno colon at all\r\n\r\n", "x")
	garbage = append(garbage, nil)
	letters := waiting(t, box, len(garbage))
	foreign := listed(t, box, bus.LetterFilter{Reason: bus.ReasonForeign})
	if len(foreign) != len(garbage)-1 {
		t.Errorf("%d are foreign", len(foreign))
	}
	for _, l := range foreign {
		if l.Stream != bus.DeadLetterStream || l.Sequence != l.Position || l.Error == "" || l.LastAt.IsZero() {
			t.Errorf("shown as %+v", l)
		}
		var no *bus.NotRedrivableError
		if err := box.Redrive(t.Context(), l.ID); !errors.As(err, &no) {
			t.Errorf("redriven: %v", err)
		}
	}
	for _, l := range letters {
		if got, err := box.Get(t.Context(), l.ID); err != nil || got.Position != l.Position {
			t.Errorf("got %+v, %v", got, err)
		}
		if err := box.Discard(t.Context(), l.ID); err != nil {
			t.Error(err)
		}
	}
	w.empty(t)
}

// Many letters are read in batches, around what is deleted and what cannot be read.
func TestLetterboxWithMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.js.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}, AllowDirect: true,
	}); err != nil {
		t.Fatal(err)
	}
	const n = 2500
	for i := 1; i <= n; i++ {
		if i == 700 {
			publishRaw(t, w, "deadletter.x", "NATS/1.0\r\nno colon at all\r\n\r\n", "x")
		}
		publishLetter(t, w, letterOf(i, "mailer", bus.ReasonDropped, "order.placed.a"))
	}
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(10); i <= n; i += 10 {
		if err := stream.DeleteMsg(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	box := bus.NewLetterbox(w.js)
	if l, err := box.Get(t.Context(), idOf("mailer", 1)); err != nil || l.Position != 1 {
		t.Errorf("the first is %+v, %v", l, err)
	}
	letters := listed(t, box, bus.LetterFilter{})
	if len(letters) != n+1-n/10 {
		t.Errorf("%d letters", len(letters))
	}
	last := uint64(n + 2)
	for _, l := range letters {
		if l.Position >= last || l.Position%10 == 0 {
			t.Fatalf("position %d after %d", l.Position, last)
		}
		last = l.Position
	}
}

// A letterbox sees what others do, also when they make the stream anew.
func TestLetterboxSeesTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := bus.NewLetterbox(w.js)
	for i := 1; i <= 3; i++ {
		publishLetter(t, w, letterOf(i, "mailer", bus.ReasonDropped, "order.placed.a"))
	}
	waiting(t, box, 3)
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting(t, box, 0)
	if err := w.js.DeleteStream(t.Context(), bus.DeadLetterStream); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Get(t.Context(), idOf("mailer", 1)); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("without its stream: %v", err)
	}
	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}}); err != nil {
		t.Fatal(err)
	}
	for i := 5; i <= 9; i++ {
		publishLetter(t, w, letterOf(i, "mailer", bus.ReasonDropped, "order.placed.a"))
	}
	if l := waiting(t, box, 5); l[4].Sequence != 5 {
		t.Errorf("the first is %+v", l[4])
	}
}
