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
