package live_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/event"
	"sluice/services/gateway/live"
)

func TestEventsAreStreamedAsTheyAreStored(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	w.note(t, "n0", "alice")
	s := w.client("operator", "note.*.*").open(t)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "",
	} {
		if got := s.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s.retry != "2000" {
		t.Errorf("retry: %q", s.retry)
	}
	stored := []event.Event{
		w.note(t, "n1", "alice"), w.change(t, "n0", "two\nlines, \u2028 and a tab\t"), w.change(t, "n1", "x"),
	}
	for _, e := range stored {
		m, err := s.read()
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if m.data != string(want) || m.kind != e.Type || m.id != (positionOf{notes.Name: e.Sequence}).String() {
			t.Errorf("got %+v, want %s", m, want)
		}
	}
}

func TestOnlyWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		subjects []string
		want     []int // of the events below
	}{
		"one kind":            {[]string{"note.changed.*"}, []int{2, 4}},
		"one aggregate":       {[]string{"note.*.a"}, []int{0, 2}},
		"one of one":          {[]string{"note.written.b"}, []int{1}},
		"a union":             {[]string{"note.*.a", "note.written.*"}, []int{0, 1, 2}},
		"two aggregates":      {[]string{"note.*.a", "note.changed.b"}, []int{0, 2, 4}},
		"two histories":       {[]string{"task.*.*", "note.changed.*"}, []int{2, 3, 4, 5}},
		"an aggregate a task": {[]string{"task.done.t", "note.*.b"}, []int{1, 3, 4, 5}},
		"the same twice":      {[]string{"task.*.*", "task.*.*"}, []int{3, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, live.Config{})
			c := w.client("operator", test.subjects...)
			s := c.open(t)
			began := c.last
			all := []event.Event{
				w.note(t, "a", "alice"), w.note(t, "b", "bob"), w.change(t, "a", "x"), must(t, w.tasks, "t", done{}), w.change(t, "b", "y"), must(t, w.tasks, "t", done{}),
			}
			var want []event.Event
			for _, i := range test.want {
				want = append(want, all[i])
			}
			check := func(s *stream) {
				t.Helper()
				got := make([]event.Event, 0, len(want))
				for range want {
					e, err := s.event()
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, e)
				}
				for _, stream := range []string{notes.Name, tasks.Name} { // between streams there is no order
					other := func(e event.Event) bool { return e.Entity() != strings.ToLower(strings.TrimSuffix(stream, "S")) }
					if !slices.EqualFunc(slices.DeleteFunc(slices.Clone(got), other), slices.DeleteFunc(slices.Clone(want), other),
						func(a, b event.Event) bool { return a.ID == b.ID }) {
						t.Errorf("got %v, want %v", got, want)
					}
				}
			}
			check(s)
			s.close()
			c.last = began // and again, from the stream
			check(c.open(t))
		})
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	const allowed = "<entity>.<event or *>.<id or *>, such as order.*.*, where the entity is one of note, task"
	for name, test := range map[string]struct {
		query, last, field, message string
	}{
		"no subject":         {"", "", "subject", allowed},
		"an empty one":       {"subject=", "", "subject", allowed},
		"two tokens":         {"subject=note.*", "", "subject", allowed},
		"a claim":            {"subject=note.claim.name.hash", "", "subject", allowed},
		"claims":             {"subject=note.claim.*", "", "subject", allowed},
		"any entity":         {"subject=*.*.*", "", "subject", allowed},
		"the rest":           {"subject=note.*.>", "", "subject", allowed},
		"all":                {"subject=>", "", "subject", allowed},
		"another entity":     {"subject=user.*.*", "", "subject", allowed},
		"a foreign subject":  {"subject=$JS.API.INFO", "", "subject", allowed},
		"a feed":             {"subject=feed.note.*", "", "subject", allowed},
		"an odd event":       {"subject=note.Written.*", "", "subject", allowed},
		"an odd id":          {"subject=note.*.a%20b", "", "subject", allowed},
		"half a wildcard":    {"subject=note.*.a*", "", "subject", allowed},
		"one of two wrong":   {"subject=note.*.*&subject=note", "", "subject", allowed},
		"too many":           {strings.Repeat("subject=note.*.a&", 21), "", "subject", "must be there once to 20 times: " + allowed},
		"another parameter":  {"subject=note.*.*&limit=1", "", "limit", "is not a parameter of this request"},
		"no position":        {"subject=note.*.*", "1234", "Last-Event-ID", `must be like "ORDERS=1234" or "ORDERS=1234,USERS=9"`},
		"a negative one":     {"subject=note.*.*&last_event_id=NOTES%3D-1", "", "last_event_id", `must be like`},
		"a huge one":         {"subject=note.*.*", "NOTES=99999999999999999999", "Last-Event-ID", `must be like`},
		"one twice":          {"subject=note.*.*", "NOTES=1,NOTES=2", "Last-Event-ID", `must be like`},
		"two positions":      {"subject=note.*.*&last_event_id=NOTES%3D1&last_event_id=NOTES%3D1", "", "last_event_id", "is there twice"},
		"of another history": {"subject=note.*.*", "TASKS=1", "Last-Event-ID", "names a stream that is not asked for"},
		"beyond the end":     {"subject=note.*.*", "NOTES=2", "Last-Event-ID", "is beyond the end of the stream: NOTES=1"},
		"beyond, in a query": {"subject=note.*.*&last_event_id=NOTES%3D7", "", "Last-Event-ID", "is beyond the end of the stream: NOTES=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.client("operator")
			c.url, c.last = w.http.URL+"/v1/events?"+test.query, test.last
			r := c.refusal(t)
			if r.status != http.StatusBadRequest || len(r.Fields) != 1 || r.Fields[0].Field != test.field || !strings.Contains(r.Fields[0].Message, test.message) {
				t.Errorf("got %v", r)
			}
		})
	}
}

func TestABodyIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events?subject=note.*.*", strings.NewReader("{}"))
	req.Header.Set("Authorization", "Bearer operator")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	if rec.Code != http.StatusBadRequest {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestHeadSaysWhetherGetWould(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	s, err := w.client("operator", "note.*.*").connect(t.Context(), http.MethodHead)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.read(); err == nil || s.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%v %v", m, s.header)
	}
	s, err = w.client("alice", "note.*.*").connect(t.Context(), http.MethodHead)
	if err == nil {
		t.Errorf("alice may: %v", s.header)
	}
}

func TestHeartbeatsMoveThePositionPastWhatIsNotAskedFor(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{Heartbeat: 20 * time.Millisecond})
	w.note(t, "a", "alice")
	c := w.client("operator", "note.erased.*")
	s := c.open(t)
	last := w.change(t, "a", "x")
	want := (positionOf{notes.Name: last.Sequence}).String()
	for c.last != want {
		s.comment(t, "heartbeat")
		if _, _, err := s.step(); err != nil {
			t.Fatal(err)
		}
	}
	// It outlives the server's limit of time for an answer.
	begin := time.Now()
	for time.Since(begin) < 2*w.http.Config.WriteTimeout {
		s.comment(t, "heartbeat")
	}
	s.close()
	s = c.open(t)
	s.expect(t, must(t, w.notes, "a", erased{}))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{PerCaller: 2, Total: 3})
	alice := func() *client { return w.client("operator", "note.*.*") }
	first := alice().open(t)
	alice().open(t)
	if r := alice().refusal(t); r.status != http.StatusTooManyRequests {
		t.Errorf("a third stream: %v", r)
	}
	w.client("admin", "note.*.*").open(t)
	if r := w.client("service", "note.*.*").refusal(t); r.status != http.StatusServiceUnavailable {
		t.Errorf("a fourth stream: %v", r)
	}
	first.close()
	until(t, "there is room again", func() bool {
		s, err := alice().connect(t.Context(), http.MethodGet)
		if err != nil {
			return false
		}
		s.close()
		return true
	})
}

func TestWhoGoesTakesTheConsumerAlong(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	w.note(t, "a", "alice")
	s, other := w.client("operator", "note.*.*", "task.*.*").open(t), w.client("alice", "note.*.a").open(t)
	until(t, "consumers of both", func() bool { return w.consumers(t, notes.Name) == 1 && w.consumers(t, tasks.Name) == 1 })
	s.close()
	until(t, "one consumer for the other", func() bool { return w.consumers(t, notes.Name) == 1 && w.consumers(t, tasks.Name) == 0 })
	other.expect(t, w.change(t, "a", "x"))
	other.close()
	until(t, "no consumer", func() bool { return w.consumers(t, notes.Name) == 0 })
}

func TestDrainEndsStreamsPolitely(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	c := w.client("operator", "note.*.*")
	s := c.open(t)
	e := w.note(t, "a", "alice")
	s.expect(t, e)
	w.handler.Drain()
	w.handler.Drain()
	s.end(t, "shutdown")
	if want := (positionOf{notes.Name: e.Sequence}).String(); c.last != want {
		t.Errorf("the end is at %s, not at %s", c.last, want)
	}
	if r := w.client("operator", "note.*.*").refusal(t); r.status != http.StatusServiceUnavailable {
		t.Errorf("a new stream: %v", r)
	}
	if n := w.consumers(t, notes.Name); n != 0 {
		until(t, "no consumer", func() bool { return w.consumers(t, notes.Name) == 0 })
	}
}
