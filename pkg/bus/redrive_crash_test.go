package bus_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// A process may die between any two steps. What it leaves is finished by the next, and
// neither a letter nor its message is lost on the way.
func TestRedriveCutShort(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		renewed, deleted bool // what the dead process had done: stored the renewed letter, deleted the old one
		cured            bool
		runs             int // of the handler, from then on
	}{
		"before the handler, which succeeds":                   {cured: true, runs: 1},
		"before the handler, which fails":                      {runs: 1},
		"after the letter was deleted":                         {deleted: true, cured: true},
		"after the renewed letter was stored, now it succeeds": {renewed: true, cured: true, runs: 1},
		"after the renewed letter was stored, now it fails":    {renewed: true, runs: 1},
		"after the old letter was deleted, now it succeeds":    {renewed: true, deleted: true, cured: true, runs: 1},
		"after the old letter was deleted, now it fails":       {renewed: true, deleted: true, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g, box := w.redrivable(t, "mailer"), bus.NewLetterbox(w.js)
			runs := make(chan int, 100)
			handler := func(cured bool) bus.Handler {
				return bus.On(func(_ context.Context, e event.Of[placed]) error {
					runs <- e.Data.N
					if !cured {
						return bus.Drop(errFlaky)
					}
					return nil
				})
			}
			first := bus.Consume(w.js, g, bus.Config{}, handler(false))
			if err := first.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			place(t, w.js, "o-1", 7)
			letter := waiting(t, box, 1)[0]
			receive(t, runs, 1)
			w.settled(t, 1)
			stop(t, first)

			redrive(t, box, letter.ID)
			name, _ := bus.RedriveConsumer(g.Name)
			died(t, w, name) // it had the redrive message in hand
			if c.renewed {
				again := letter
				again.Redrives, again.Error = 1, "failed again"
				republish(t, w, again, "renewed."+letter.ID+".2")
			}
			if c.deleted {
				deleteLetter(t, w, letter.Position)
			}
			startGroup(t, w.js, g, bus.Config{}, handler(c.cured))
			receive(t, runs, c.runs)
			if c.cured {
				w.empty(t)
			} else {
				eventually(t, func() string {
					stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
					if err != nil || stream.CachedInfo().State.Msgs != 1 {
						return "not one message is left"
					}
					return ""
				})
				if left := waiting(t, box, 1)[0]; left.ID != letter.ID || left.Redrives != 1 || !bytes.Equal(left.Data, letter.Data) {
					t.Errorf("left is %+v", left)
				}
			}
			if len(runs) != 0 {
				t.Errorf("the handler ran %d times more", len(runs))
			}
		})
	}
}

// died delivers what the consumer has and never answers.
func died(t *testing.T, w *world, consumer string) {
	t.Helper()
	c, err := w.js.Consumer(t.Context(), bus.DeadLetterStream, consumer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
}

func deleteLetter(t *testing.T, w *world, position uint64) {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SecureDeleteMsg(t.Context(), position); err != nil {
		t.Fatal(err)
	}
}

// republish stores a letter of a message that has one already, under an id for the
// stream's duplicate window, as renewing does.
func republish(t *testing.T, w *world, d bus.DeadLetter, dedupe string) {
	t.Helper()
	other := newWorld(t)
	if err := bus.PublishDeadLetter(t.Context(), other.js, d); err != nil {
		t.Fatal(err)
	}
	stream, err := other.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	m.Header.Set("Nats-Msg-Id", dedupe)
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
		t.Fatal(err)
	}
}

// What is erased while it is redriven is gone, and with it what redrives it.
func TestRedriveOfWhatIsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, box, p := w.redrivable(t, "mailer"), bus.NewLetterbox(w.js), newPoisoned()
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(p.handle))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	place(t, w.js, "o-2", 2)
	letters := waiting(t, box, 2)
	w.settled(t, 2)
	stop(t, c)
	for _, l := range letters {
		redrive(t, box, l.ID)
	}
	if err := bus.EraseDeadLetters(t.Context(), w.js, func(l bus.DeadLetter) bool {
		return l.Stream == "ORDERS" && strings.HasSuffix(l.Subject, ".o-2")
	}); err != nil {
		t.Fatal(err)
	}
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 2 || len(info.State.Subjects) != 2 {
		t.Errorf("left are %v, want a letter and what redrives it", info.State.Subjects)
	}
	for subject := range info.State.Subjects {
		if strings.Contains(subject, "o-2") {
			t.Errorf("%s is left", subject)
		}
	}
	p.cured.Store(true)
	startGroup(t, w.js, g, bus.Config{}, bus.On(p.handle))
	if e := receive(t, p.handled, 1)[0]; e.Subject != "o-1" {
		t.Errorf("handled %s", e.Subject)
	}
	w.empty(t)
}

// A letter that is erased or discarded while its message is handled anew does not come
// back when that fails.
func TestLetterIsTakenAwayWhileRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := bus.NewLetterbox(w.js)
	var redriven atomic.Bool
	running, fail := make(chan struct{}), make(chan struct{})
	startGroup(t, w.js, w.redrivable(t, "mailer"), bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error {
		if redriven.Load() {
			close(running)
			<-fail
		}
		return bus.Drop(errFlaky)
	}))
	place(t, w.js, "o-1", 1)
	letter := waiting(t, box, 1)[0]
	redriven.Store(true)
	redrive(t, box, letter.ID)
	<-running
	if err := box.Discard(t.Context(), letter.ID); err != nil {
		t.Fatal(err)
	}
	close(fail)
	w.empty(t)
}

// Whatever is cut short, in whatever order, no letter goes before its message was
// handled.
func TestRedriveIsCutShortAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, box := w.redrivable(t, "mailer"), bus.NewLetterbox(w.js)
	const n, rounds = 40, 8
	for i := range n {
		publishLetter(t, w, letterFor(t, i+1))
	}
	var handled [n + 1]atomic.Bool
	for round := range rounds {
		attempts := make(chan int, 1000)
		c := bus.Consume(w.js, g, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
			attempts <- e.Data.N
			switch {
			case (e.Data.N+round)%4 == 0 || round == rounds-1:
				handled[e.Data.N].Store(true)
				return nil
			case (e.Data.N+round)%4 == 1:
				<-ctx.Done()
				return ctx.Err()
			default:
				return bus.Drop(errFlaky)
			}
		}))
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		again, err := box.RedriveAll(t.Context(), bus.LetterFilter{}, "", n)
		if err != nil {
			t.Fatal(err)
		}
		if round == rounds-1 {
			t.Cleanup(func() { stop(t, c) })
			break
		}
		receive(t, attempts, min(3+round, again.Letters))
		now, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Stop(now); err != nil {
			t.Fatal(err)
		}
		left := make(map[uint64]int)
		for _, l := range listed(t, box, bus.LetterFilter{}) {
			left[l.Sequence]++
		}
		for i := 1; i <= n; i++ {
			if count := left[uint64(i)]; count > 1 || count == 0 && !handled[i].Load() {
				t.Fatalf("round %d: message %d has %d letters, handled %v", round, i, count, handled[i].Load())
			}
		}
	}
	w.empty(t)
}
