package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
)

var timerGroup = bus.Group{
	Stream: bus.TimerStream, Name: "order-due",
	MaxAttempts: 4, MinBackoff: 5 * time.Millisecond, MaxBackoff: 40 * time.Millisecond,
}

// createTimers brings the stream of timers and what it needs into being.
func createTimers(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	for _, cfg := range []jetstream.StreamConfig{
		{
			Name: bus.TimerStream, Subjects: []string{"timer.>"}, Retention: jetstream.WorkQueuePolicy, Replicas: replicas,
			AllowMsgSchedules: true, AllowMsgTTL: true, AllowRollup: true,
		},
		{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}, Replicas: replicas},
	} {
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(t.Context(), bus.TimerStream, jetstream.ConsumerConfig{
		Durable: timerGroup.Name, FilterSubject: "timer.due.order.*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 1000,
	}); err != nil {
		t.Fatal(err)
	}
}

// timerServer is a server with a stream of timers.
func timerServer(t *testing.T) (*natstest.Server, jetstream.JetStream) {
	t.Helper()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	createTimers(t, js, 1)
	return srv, js
}

// handleTimers runs handlers of due timers until the test ends.
func handleTimers(t *testing.T, js jetstream.JetStream, handlers ...bus.Handler) {
	t.Helper()
	c := bus.Consume(js, timerGroup, bus.Config{}, handlers...)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
}

// due runs a handler that passes on what is due.
func due(t *testing.T, js jetstream.JetStream) <-chan event.Of[placed] {
	t.Helper()
	came := make(chan event.Of[placed], 1000)
	handleTimers(t, js, bus.On(func(_ context.Context, e event.Of[placed]) error {
		came <- e
		return nil
	}))
	return came
}

func timer(t *testing.T, id string, n int) event.Event {
	t.Helper()
	e, err := events.New(event.WithMetadata(t.Context(), event.Metadata{CorrelationID: "c-" + id, CausationID: "x", UserID: "ada"}), id, placed{N: n})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func setTimer(t *testing.T, js jetstream.JetStream, at time.Time, e event.Event) {
	t.Helper()
	if err := bus.At(t.Context(), js, at, e); err != nil {
		t.Fatal(err)
	}
}

// noTimers waits until nothing is set and nothing is due.
func noTimers(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	eventually(t, func() string {
		stream, err := js.Stream(t.Context(), bus.TimerStream)
		if err != nil {
			return err.Error()
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			return err.Error()
		}
		left := make([]string, 0, len(info.State.Subjects))
		for subject := range info.State.Subjects {
			left = append(left, subject)
		}
		return strings.Join(left, " ")
	})
}

// noMore waits until there are no timers, and fails when one came meanwhile.
func noMore(t *testing.T, js jetstream.JetStream, came <-chan event.Of[placed]) {
	t.Helper()
	noTimers(t, js)
	if len(came) > 0 {
		t.Errorf("timer of %s came", (<-came).Subject)
	}
}

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

func TestTimerDueWhileTheServerWasDown(t *testing.T) {
	t.Parallel()
	srv, js := timerServer(t)
	came := due(t, js)
	at := time.Now().Add(time.Second)
	srv.Restart(t) // timers outlive it, and so does the port
	eventually(t, func() string {
		if err := bus.At(t.Context(), js, at, timer(t, "o-1", 1)); err != nil {
			return err.Error()
		}
		return ""
	})
	setTimer(t, js, time.Now().Add(time.Hour), timer(t, "o-2", 1))
	srv.Stop()
	<-time.After(time.Until(at))
	srv.Restart(t)
	if e := receive(t, came, 1)[0]; e.Subject != "o-1" {
		t.Errorf("timer of %s came", e.Subject)
	}
	eventually(t, func() string {
		if err := bus.CancelTimer(t.Context(), js, "order", "o-2"); err != nil {
			return err.Error()
		}
		return ""
	})
	noTimers(t, js)
}

func TestTimerOutlivesTheLeaderOfItsStream(t *testing.T) {
	t.Parallel()
	cluster := natstest.Cluster(t, 3)
	js := cluster.JetStream(t)
	createTimers(t, js, 3)
	came := due(t, js)
	setTimer(t, js, time.Now().Add(time.Second), timer(t, "o-1", 1))
	cluster.StepDown(t, bus.TimerStream)
	if e := receive(t, came, 1)[0]; e.Subject != "o-1" {
		t.Errorf("timer of %s came", e.Subject)
	}
}

// Until its handler has succeeded, what is due stays, for whoever handles it next.
func TestDueTimerIsHandledAtLeastOnce(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	tried := make(chan int, 10)
	failing := bus.Consume(js, timerGroup, bus.Config{}, bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		n, _ := bus.Attempt(ctx)
		tried <- n
		if n == 1 {
			return errors.New("not now")
		}
		<-ctx.Done()
		return ctx.Err()
	}))
	if err := failing.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	setTimer(t, js, time.Now(), timer(t, "o-1", 1))
	receive(t, tried, 2)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := failing.Stop(ended); err != nil {
		t.Error(err)
	}
	if e := receive(t, due(t, js), 1)[0]; e.Subject != "o-1" {
		t.Errorf("timer of %s came", e.Subject)
	}
	noTimers(t, js)
}

func TestGarbageAmongDueTimersIsGivenUp(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	came := due(t, js)
	header, data := event.Encode(timer(t, "o-1", 1))
	eaten := header["ce-type"]
	publish := func(subject string, header nats.Header, data string) {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	publish("timer.due.order.o-1", nil, "hello")
	publish("timer.due.order.o-2", header, string(data)) // of another aggregate
	publish("timer.due.order.o-1", header, `{"n":"x"}`)
	header["ce-type"] = []string{"order.eaten"}
	publish("timer.due.order.o-1", header, string(data))
	header["ce-type"] = eaten
	publish("timer.due.order.o-1", header, string(data)) // set by nobody, and well formed
	if e := receive(t, came, 1)[0]; e.Subject != "o-1" || e.Stream != bus.TimerStream || e.Sequence == 0 {
		t.Errorf("%+v", e)
	}
	noTimers(t, js)
	for i, want := range []bus.Reason{bus.ReasonUndecodable, bus.ReasonForeign, bus.ReasonUndecodable, bus.ReasonForeign} {
		letters := eventuallyLetters(t, js, 4)
		if letters[uint64(i)+1].Reason != want {
			t.Errorf("letter of message %d is %+v, not %s", i+1, letters[uint64(i)+1], want)
		}
	}
}

// eventuallyLetters waits for n dead letters and returns them by the sequence of
// their message.
func eventuallyLetters(t *testing.T, js jetstream.JetStream, n int) map[uint64]bus.DeadLetter {
	t.Helper()
	letters := make(map[uint64]bus.DeadLetter)
	eventually(t, func() string {
		stream, err := js.Stream(t.Context(), bus.DeadLetterStream)
		if err != nil {
			return err.Error()
		}
		for i := range stream.CachedInfo().State.LastSeq {
			raw, err := stream.GetMsg(t.Context(), i+1)
			if err != nil {
				return err.Error()
			}
			letter, err := bus.ParseDeadLetter(raw.Header, raw.Data)
			if err != nil {
				t.Fatal(err)
			}
			letters[letter.Sequence] = letter
		}
		if len(letters) < n {
			return "too few dead letters"
		}
		return ""
	})
	return letters
}

func TestTimersThatCannotBeSet(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	untyped, nobodys := timer(t, "o-1", 1), timer(t, "o-1", 1)
	untyped.Type, nobodys.Subject = "order", "*"
	for name, c := range map[string]struct {
		at   time.Time
		e    event.Event
		want error
	}{
		"too far away":   {time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC), timer(t, "o-1", 1), bus.ErrTimerRange},
		"no type":        {time.Now(), untyped, event.ErrInvalid},
		"no aggregate":   {time.Now(), nobodys, event.ErrInvalid},
		"the zero event": {time.Now(), event.Event{}, event.ErrInvalid},
	} {
		if err := bus.At(t.Context(), js, c.at, c.e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := bus.CancelTimer(t.Context(), js, "order", ">"); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("cancel all timers: %v", err)
	}
	if err := bus.At(t.Context(), natstest.Start(t).JetStream(t), time.Now(), timer(t, "o-1", 1)); err == nil {
		t.Error("a timer was set on a server without timers")
	}
	noTimers(t, js)
}

func TestTimerGroupFiltersOnItsEntities(t *testing.T) {
	t.Parallel()
	_, js := timerServer(t)
	for name, filters := range map[string][]string{
		"more than is handled": {"timer.due.order.*", "timer.due.user.*"},
		"what is set":          {"timer.set.order.*"},
		"another entity":       {"timer.due.user.*"},
	} {
		if err := js.DeleteConsumer(t.Context(), bus.TimerStream, timerGroup.Name); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateConsumer(t.Context(), bus.TimerStream, jetstream.ConsumerConfig{
			Durable: timerGroup.Name, FilterSubjects: filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 10,
		}); err != nil {
			t.Fatal(err)
		}
		c := bus.Consume(js, timerGroup, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return nil }))
		if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "the handled timers are [timer.due.order.*]") {
			t.Errorf("%s: %v", name, err)
			stop(t, c)
		}
	}
}
