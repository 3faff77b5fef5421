package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

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
