package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
)

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
