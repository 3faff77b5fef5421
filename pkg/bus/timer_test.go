package bus_test

import (
	"context"
	"testing"
	"time"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

func TestTimerComesAtItsTimeAndNotBefore(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	came := make(chan bus.Message, 10)
	handleTimers(t, js, bus.OnMessage(func(_ context.Context, m bus.Message) error {
		came <- m
		return nil
	}))
	at := time.Now().Add(700 * time.Millisecond)
	set := timer(t, "o-1", 1)
	set.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	setTimer(t, js, at, set)
	m := receive(t, came, 1)[0]
	if m.Time.Before(at) { // by the server's clock, which is ours here
		t.Errorf("due at %s, it came at %s", at, m.Time)
	}
	got, err := event.Decode(m.Header, m.Data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "timer.due.order.o-1" || got.ID != set.ID || got.Source != set.Source || got.Type != set.Type || got.Subject != "o-1" ||
		!got.Time.Equal(set.Time) || got.DataSchema != set.DataSchema || string(got.Data) != string(set.Data) || got.TraceParent != set.TraceParent ||
		got.CorrelationID != "c-o-1" || got.CausationID != "x" || got.UserID != "ada" {
		t.Errorf("%s: %+v", m.Subject, got)
	}
	noTimers(t, js)
}

func TestTimerInThePastIsDueAtOnce(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	came := due(t, js)
	past := map[string]time.Time{
		"zero": {}, "long-ago": time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), "just-now": time.Now(), "hour-ago": time.Now().Add(-time.Hour),
	}
	for id, at := range past {
		setTimer(t, js, at, timer(t, id, 1))
	}
	for _, e := range receive(t, came, len(past)) {
		if _, set := past[e.Subject]; !set {
			t.Errorf("timer of %s came twice, or nobody set it", e.Subject)
		}
		delete(past, e.Subject)
	}
	noMore(t, js, came)
}

func TestTimerSetAgainIsReplaced(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	came := due(t, js)
	setTimer(t, js, time.Now().Add(time.Second), timer(t, "o-1", 1))
	setTimer(t, js, time.Now().Add(time.Hour), timer(t, "o-2", 1))
	setTimer(t, js, time.Now().Add(time.Second), timer(t, "o-1", 2))
	setTimer(t, js, time.Now(), timer(t, "o-2", 2))
	for _, e := range receive(t, came, 2) {
		if e.Data.N != 2 {
			t.Errorf("the replaced timer of %s came", e.Subject)
		}
	}
	noMore(t, js, came)
}

func TestCancelledTimerDoesNotCome(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	came := due(t, js)
	at := time.Now().Add(time.Second)
	setTimer(t, js, at, timer(t, "o-1", 1))
	setTimer(t, js, at, timer(t, "o-2", 1))
	for _, id := range []string{"o-1", "o-2", "never-set"} {
		for range 2 {
			if err := bus.CancelTimer(t.Context(), js, "order", id); err != nil {
				t.Fatal(err)
			}
		}
	}
	setTimer(t, js, at, timer(t, "o-2", 2)) // a timer may be set after it was cancelled
	setTimer(t, js, at.Add(time.Millisecond), timer(t, "later", 1))
	for _, e := range receive(t, came, 2) {
		if e.Subject != "o-2" && e.Subject != "later" || e.Subject == "o-2" && e.Data.N != 2 {
			t.Errorf("timer of %s came with %d", e.Subject, e.Data.N)
		}
	}
	noMore(t, js, came)
}

// Timers are cancelled while they become due: each may come or not, and then nothing
// of it is left.
func TestCancellingWhatBecomesDue(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	came := due(t, js)
	at := time.Now().Add(time.Second)
	set := make(map[string]bool)
	for i := range 200 {
		id := "o-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		set[id] = true
		setTimer(t, js, at, timer(t, id, i))
	}
	first := receive(t, came, 1)[0]
	if !set[first.Subject] {
		t.Errorf("timer of %s was never set", first.Subject)
	}
	for id := range set {
		if err := bus.CancelTimer(t.Context(), js, "order", id); err != nil {
			t.Fatal(err)
		}
	}
	noTimers(t, js) // so every handler has run
	for len(came) > 0 {
		e := <-came
		if !set[e.Subject] || e.Subject == first.Subject {
			t.Errorf("timer of %s came again, or was never set", e.Subject)
		}
		set[e.Subject] = false
	}
}
