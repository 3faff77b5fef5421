package live_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/services/gateway/live"
)

// reader collects events over many connections.
type reader struct {
	*client

	of     func(event.Event) bool
	events []event.Event
}

// collect reads until it has the event at last of each stream, and hangs up now and
// then, in the middle of whatever comes.
func (r *reader) collect(ctx context.Context, disconnects int, last map[string]uint64) error {
	reached := make(map[string]uint64)
	for connections := 0; ; connections++ {
		s, err := r.connect(ctx, http.MethodGet)
		if err != nil {
			return fmt.Errorf("connection %d from %q: %w", connections, r.last, err)
		}
		hangUp := 1 + rand.IntN(3)
		for n := 0; ; n++ {
			done := true
			for stream, sequence := range last {
				done = done && reached[stream] >= sequence
			}
			if done {
				s.close()
				if connections < disconnects {
					return fmt.Errorf("only %d connections", connections)
				}
				return nil
			}
			if n == hangUp && connections < disconnects {
				s.close()
				break
			}
			e, err := s.event()
			if err != nil {
				return fmt.Errorf("connection %d: %w", connections, err)
			}
			r.events = append(r.events, e)
			stream := strings.ToUpper(e.Entity()) + "S"
			if reached[stream] >= e.Sequence {
				return fmt.Errorf("%s at %d comes after %d", e.Type, e.Sequence, reached[stream])
			}
			reached[stream] = e.Sequence
		}
	}
}

// TestEveryEventComesOnceOverManyDisconnects has readers that hang up twenty times
// while events and garbage are written; each gets exactly the history of its subjects.
func TestEveryEventComesOnceOverManyDisconnects(t *testing.T) {
	t.Parallel()
	const disconnects, writers, each = 20, 4, 64
	w := start(t, live.Config{PerCaller: 50})
	for i := range writers {
		w.note(t, fmt.Sprintf("n%d", i), "alice")
	}
	all := func(event.Event) bool { return true }
	noteOnly := func(e event.Event) bool { return e.Entity() == "note" }
	readers := map[string]*reader{
		"everything":      {client: w.client("operator", "note.*.*", "task.*.*"), of: all},
		"one history":     {client: w.client("service", "note.*.*"), of: noteOnly},
		"one kind":        {client: w.client("admin", "note.changed.*"), of: func(e event.Event) bool { return e.Type == "note.changed" }},
		"one aggregate":   {client: w.client("alice", "note.*.n0"), of: func(e event.Event) bool { return noteOnly(e) && e.Subject == "n0" }},
		"some aggregates": {client: w.client("alice", "note.*.n1", "note.changed.n2"), of: func(e event.Event) bool { return noteOnly(e) && (e.Subject == "n1" || e.Subject == "n2") }},
	}
	begin := map[string]uint64{}
	for _, r := range readers {
		r.open(t).close()
	}
	for _, store := range []*eventstore.Store{w.notes, w.tasks} {
		stream, err := w.js.Stream(t.Context(), store.Stream().Name)
		if err != nil {
			t.Fatal(err)
		}
		begin[store.Stream().Name] = stream.CachedInfo().State.LastSeq
	}

	var writing, reading sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range each {
				id := fmt.Sprintf("n%d", i)
				if _, err := write(t.Context(), w.notes, id, changed{Text: fmt.Sprint(n)}); err != nil {
					t.Error(err)
				}
				if n%3 == 0 {
					if _, err := write(t.Context(), w.tasks, id, done{Text: fmt.Sprint(n)}); err != nil {
						t.Error(err)
					}
				}
				if n%30 == 10 {
					garbage := &nats.Msg{Subject: "note.changed." + id, Data: []byte(`{"text":"garbage"}`)}
					if _, err := w.js.PublishMsg(t.Context(), garbage); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	ends := make(chan struct{})
	last := make(map[string]map[string]uint64) // by reader
	for name, r := range readers {
		reading.Go(func() {
			// Half of the disconnects while it is written, half after.
			if err := r.spree(t.Context(), disconnects/2); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			<-ends
			if err := r.collect(t.Context(), disconnects/2, last[name]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	writing.Wait()
	written := slices.Concat(history(t, w.notes, begin[notes.Name]), history(t, w.tasks, begin[tasks.Name]))
	for name, r := range readers {
		last[name] = make(map[string]uint64)
		for _, e := range written {
			if r.of(e) {
				last[name][e.Stream] = max(last[name][e.Stream], e.Sequence)
			}
		}
	}
	close(ends)
	reading.Wait()
	for name, r := range readers {
		want := make(map[string]uint64)
		for _, e := range written {
			if r.of(e) {
				want[e.ID] = e.Sequence
			}
		}
		got := make(map[string]uint64)
		for _, e := range r.events {
			got[e.ID] = e.Sequence
		}
		if len(r.events) != len(want) || !maps.Equal(got, want) {
			t.Errorf("%s: %d events, %d different ones, want %d", name, len(r.events), len(got), len(want))
		}
	}
}

// spree reads a few events on each of so many connections.
func (r *reader) spree(ctx context.Context, connections int) error {
	for range connections {
		s, err := r.connect(ctx, http.MethodGet)
		if err != nil {
			return err
		}
		for range 1 + rand.IntN(3) {
			e, err := s.event()
			if err != nil {
				return err
			}
			r.events = append(r.events, e)
		}
		s.close()
	}
	return nil
}

// TestWhoStandsStillCatchesUp has a reader that takes nothing while more is written
// than is kept for those who listen.
func TestWhoStandsStillCatchesUp(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{Patience: time.Minute})
	c, again := w.client("operator", "note.*.*"), w.client("operator", "note.*.*")
	s := c.open(t)
	again.last = c.last
	want := w.flood(t)
	s.expect(t, want...)
	again.open(t).expect(t, want...)
	s.expect(t, w.change(t, "n7", "live again"))
}

// flood writes more than is kept for those who listen.
func (w world) flood(t testing.TB) []event.Event {
	t.Helper()
	text := strings.Repeat("x", 400_000)
	var events []event.Event
	for i := range 30 { // 12 MB; 8 MiB at most are kept
		events = append(events, must(t, w.notes, fmt.Sprintf("n%d", i), written{Owner: "alice", Text: text}))
	}
	return events
}

// TestSlowReadersAreCutOff has a reader that takes nothing for too long. It comes back
// and has lost nothing.
func TestSlowReadersAreCutOff(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]func(*testServer){"HTTP/1.1": nil, "HTTP/2": {overHTTP2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events = 60
			w := start(t, live.Config{Patience: patience}, options...)
			c := w.client("operator", "note.*.*")
			s := c.open(t)
			text := strings.Repeat("x", 100_000)
			var want []event.Event
			for i := range events {
				want = append(want, must(t, w.notes, fmt.Sprintf("n%d", i), written{Owner: "alice", Text: text}))
			}
			w.awaitLog(t, "a reader of live events is cut off")
			cut := 0
			for len(want) > 0 {
				e, err := s.event()
				if err != nil { // again, perhaps: this machine may be slow itself
					cut++
					s.close()
					s = c.open(t)
					continue
				}
				if e.ID != want[0].ID {
					t.Fatalf("got %s at %d, want the one at %d", e.Type, e.Sequence, want[0].Sequence)
				}
				want = want[1:]
			}
			if cut == 0 {
				t.Error("it got everything on one connection")
			}
		})
	}
}

func TestWhatIsGoneIsSaid(t *testing.T) {
	t.Parallel()
	t.Run("before a reader comes back", func(t *testing.T) {
		t.Parallel()
		w := start(t, live.Config{})
		w.note(t, "a", "alice")
		c, own := w.client("operator", "note.*.*"), w.client("alice", "note.*.a")
		c.open(t).close()
		own.open(t).close()
		w.change(t, "a", "x")
		w.purge(t)
		e := w.note(t, "a", "alice")
		for _, c := range []*client{c, own} {
			if r := c.refusal(t); !r.Gone || !strings.Contains(r.Message, fmt.Sprintf("NOTES begins at %d", e.Sequence)) {
				t.Errorf("got %v", r)
			}
		}
	})
	t.Run("and all that was seen is no loss", func(t *testing.T) {
		t.Parallel()
		w := start(t, live.Config{})
		w.note(t, "a", "alice")
		s := w.client("operator", "note.*.*").open(t)
		s.expect(t, w.change(t, "a", "x"))
		w.purge(t)
		s.expect(t, w.note(t, "b", "alice"))
	})
	t.Run("with the stream", func(t *testing.T) {
		t.Parallel()
		w := start(t, live.Config{})
		w.note(t, "a", "alice")
		c := w.client("operator", "note.*.*")
		s, own := c.open(t), w.client("alice", "note.*.a").open(t)
		if err := w.js.DeleteStream(t.Context(), notes.Name); err != nil {
			t.Fatal(err)
		}
		w.create(t, w.notes)
		s.end(t, "gone")
		own.end(t, "gone")
		c.last = ""
		s = c.open(t)
		s.expect(t, w.note(t, "c", "alice"))
	})
	t.Run("while nothing is written", func(t *testing.T) {
		t.Parallel()
		w := start(t, live.Config{})
		s := w.client("operator", "note.*.*").open(t)
		s.expect(t, w.note(t, "a", "alice"))
		w.purge(t, jetstream.WithPurgeSequence(1000)) // 3 to 999 can't be seen any more
		s.end(t, "gone")
	})
	t.Run("behind a reader's back", func(t *testing.T) {
		t.Parallel()
		w := start(t, live.Config{Patience: time.Minute})
		s := w.client("operator", "note.*.*").open(t)
		want := w.flood(t)
		w.purge(t)
		for i := 0; ; i++ { // what it was sent before, and then the end
			m, err := s.read()
			if err != nil {
				t.Fatal(err)
			}
			if m.kind == "end" {
				if !strings.Contains(m.data, `"gone"`) || i == len(want) {
					t.Errorf("after %d events: %s", i, m.data)
				}
				break
			}
			if m.id != (positionOf{notes.Name: want[i].Sequence}).String() {
				t.Fatalf("event %d has id %s, want %d", i, m.id, want[i].Sequence)
			}
		}
	})
}

func (w world) purge(t testing.TB, options ...jetstream.StreamPurgeOpt) {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), notes.Name)
	if err == nil {
		err = stream.Purge(t.Context(), options...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestErasedIsNotShown also looks at what is kept for those who are a little behind.
func TestErasedIsNotShown(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	c, idle := w.client("operator", "note.*.*"), w.client("operator", "task.*.*", "note.erased.*")
	s := c.open(t)
	idle.open(t) // keeps the broadcast going
	began := c.last
	s.expect(t, w.note(t, "a", "alice"), w.note(t, "b", "bob"), w.change(t, "a", "x"))
	s.close()
	gone := must(t, w.notes, "a", erased{})
	for _, when := range []string{"announced", "done"} {
		if when == "done" {
			if err := w.notes.Erase(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		for _, subject := range []string{"note.*.*", "note.*.a"} {
			c := w.client("operator", subject)
			c.last = began
			s := c.open(t)
			for {
				e, err := s.event()
				if err != nil {
					t.Fatal(err)
				}
				if e.Subject == "b" {
					continue
				}
				if e.ID == gone.ID {
					break
				}
				if when == "done" {
					t.Errorf("%s: %s at %d is shown after the erasure", subject, e.Type, e.Sequence)
				}
			}
			s.close()
		}
	}
}

// TestWhatANewerProgramWroteIsPassedOn has an event of a type and one of a version that
// the handler does not know.
func TestWhatANewerProgramWroteIsPassedOn(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	newer := eventstore.New(w.js, notes, event.NewRegistry("note", event.Define[written](1).First(), event.Define[pinned](1),
		event.Define[changed](2, event.From(1, func(c changed) changed { return c }))))
	w.note(t, "a", "alice")
	c, own := w.client("operator", "note.*.*"), w.client("operator", "note.*.a")
	all, one := c.open(t), own.open(t)
	events := []event.Event{must(t, newer, "a", pinned{}), must(t, newer, "a", changed{Text: "2"}), must(t, newer, "a", pinned{})}
	all.expect(t, events...)
	one.expect(t, events...)
	all.close()
	one.close()
	c.last, own.last = "NOTES=2", "NOTES=2"
	c.open(t).expect(t, events...)
	own.open(t).expect(t, events...)
}

type pinned struct{}

func (pinned) EventType() string { return "note.pinned" }
