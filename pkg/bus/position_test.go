package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
)

// collect handles events and sends what they hold to a channel.
func collect() (bus.Handler, chan int) {
	got := make(chan int, 1000)
	return bus.On(func(_ context.Context, e event.Of[placed]) error {
		got <- e.Data.N
		return nil
	}), got
}

// inOrder fails the test unless the next values are from, from+1 … to.
func inOrder(t *testing.T, got <-chan int, from, to int) {
	t.Helper()
	for i, n := range receive(t, got, to-from+1) {
		if n != from+i {
			t.Fatalf("handled %d where %d was due", n, from+i)
		}
	}
}

func healthy(t *testing.T, c *bus.Consumer) {
	t.Helper()
	eventually(t, func() string {
		if err := c.Health(); err != nil {
			return err.Error()
		}
		return ""
	})
}

// A durable consumer that is removed under a running process is made again, and
// handles what comes next: nothing twice, nothing left out.
func TestRemovedConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log syncBuffer
	h, got := collect()
	c := start(t, w.js, bus.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, h)
	for round := range 3 {
		for n := range 10 {
			place(t, w.js, "o-1", 10*round+n)
		}
		inOrder(t, got, 10*round, 10*round+9)
		if err := w.js.DeleteConsumer(t.Context(), "ORDERS", group.Name); err != nil {
			t.Fatal(err)
		}
	}
	place(t, w.js, "o-1", 30)
	inOrder(t, got, 30, 30)
	w.settled(t, 31)
	healthy(t, c)
	if !strings.Contains(log.String(), "consumer was removed and is created again") {
		t.Errorf("the log says nothing:\n%s", log.String())
	}
}

// While nobody runs, the consumer is removed, and made anew as it is declared, from
// the first message on. The group goes on where it was.
func TestConsumerMadeAnewStandsWhereTheGroupWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, got := collect()
	c := start(t, w.js, bus.Config{}, h)
	for n := range 10 {
		place(t, w.js, "o-1", n)
	}
	inOrder(t, got, 0, 9)
	stop(t, c)
	if err := w.js.DeleteConsumer(t.Context(), "ORDERS", group.Name); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 10)
	w.createConsumer(t)
	h, got = collect()
	start(t, w.js, bus.Config{}, h)
	inOrder(t, got, 10, 10)
	w.settled(t, 11)
}

// An operator who takes the recorded position back gets what he asks for: everything
// again. So does one who resets the consumer.
func TestReplayOnPurpose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, got := collect()
	c := start(t, w.js, bus.Config{}, h)
	for n := range 5 {
		place(t, w.js, "o-1", n)
	}
	inOrder(t, got, 0, 4)
	w.settled(t, 5)
	if _, err := w.js.ResetConsumerToSequence(t.Context(), "ORDERS", group.Name, 3); err != nil {
		t.Fatal(err)
	}
	inOrder(t, got, 2, 4)
	w.settled(t, 5)
	stop(t, c)
	kv, err := w.js.KeyValue(t.Context(), bus.StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "position.ORDERS."+group.Name); err != nil {
		t.Fatal(err)
	}
	if err := w.js.DeleteConsumer(t.Context(), "ORDERS", group.Name); err != nil {
		t.Fatal(err)
	}
	w.createConsumer(t)
	h, got = collect()
	start(t, w.js, bus.Config{}, h)
	inOrder(t, got, 0, 4)
}

// A stream of the same name is not the same stream. Whether the process runs or
// starts, it says so and handles nothing, until an operator decides.
func TestStreamCreatedAnew(t *testing.T) {
	t.Parallel()
	for _, running := range []string{"while it runs", "while it is stopped"} {
		t.Run(running, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h, got := collect()
			c := start(t, w.js, bus.Config{}, h)
			for n := range 5 {
				place(t, w.js, "o-1", n)
			}
			inOrder(t, got, 0, 4)
			w.settled(t, 5)
			if running != "while it runs" {
				stop(t, c)
			}
			if err := w.js.DeleteStream(t.Context(), "ORDERS"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"order.>"}}); err != nil {
				t.Fatal(err)
			}
			w.createConsumer(t)
			if running != "while it runs" {
				h, got = collect()
				c = start(t, w.js, bus.Config{}, h)
			}
			place(t, w.js, "o-1", 100)
			eventually(t, func() string {
				if err := c.Health(); !errors.Is(err, bus.ErrPosition) {
					return "health does not say that the stream is another"
				}
				return ""
			})
			if len(got) != 0 {
				t.Error("handled an event of another stream")
			}
			kv, err := w.js.KeyValue(t.Context(), bus.StateBucket)
			if err != nil {
				t.Fatal(err)
			}
			if err := kv.Delete(t.Context(), "position.ORDERS."+group.Name); err != nil {
				t.Fatal(err)
			}
			inOrder(t, got, 100, 100)
			healthy(t, c)
		})
	}
}

// What was removed from the stream before the group got to it is told, not skipped in
// silence.
func TestMessagesRemovedBeforeTheyWereHandled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, got := collect()
	c := start(t, w.js, bus.Config{}, h)
	place(t, w.js, "o-1", 0)
	inOrder(t, got, 0, 0)
	w.settled(t, 1)
	stop(t, c)
	for n := 1; n <= 5; n++ {
		place(t, w.js, "o-1", n)
	}
	stream, err := w.js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	h, got = collect()
	c = start(t, w.js, bus.Config{}, h)
	inOrder(t, got, 3, 5)
	if err := c.Health(); err == nil || !strings.Contains(err.Error(), "messages from 2 to 3 were removed") {
		t.Errorf("health says %v", err)
	}
}

// A connection that is gone for longer than AckWait comes back by itself, and so do
// the handlers, in order. What they finished meanwhile is not handled again.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.AckWait = 300 * time.Millisecond })
	proxy := w.Proxy(t)
	nc := natstest.Dial(t, proxy.URL(), nats.ReconnectWait(10*time.Millisecond), nats.PingInterval(50*time.Millisecond), nats.MaxPingsOutstanding(2))
	release := make(chan struct{})
	begun := make(chan int, 100)
	c := start(t, natstest.JetStream(t, nc), bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		begun <- e.Data.N
		if e.Data.N == 2 {
			<-release
		}
		return nil
	}))
	for n := range 10 {
		place(t, w.js, "o-1", n)
	}
	inOrder(t, begun, 0, 2)
	w.Stop()
	eventually(t, func() string {
		if c.Health() == nil {
			return "healthy without a connection"
		}
		return ""
	})
	close(release) // it ends while nobody can be told
	inOrder(t, begun, 3, 9)
	w.Restart(t)
	eventually(t, func() string {
		if _, err := w.js.Stream(t.Context(), "ORDERS"); err != nil {
			return err.Error()
		}
		return ""
	})
	proxy.Cut()
	place(t, w.js, "o-1", 10)
	inOrder(t, begun, 10, 10)
	w.settled(t, 11)
	healthy(t, c)
}

// forgetful makes connections that lose the first acknowledgement, with what is sent
// along with it.
type forgetful struct{ lost atomic.Bool }

func (f *forgetful) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &forgetfulConn{Conn: conn, forgetful: f}, err
}

type forgetfulConn struct {
	net.Conn
	*forgetful
}

func (c *forgetfulConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("+ACK")) && !c.lost.Swap(true) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// A lost acknowledgement is repeated when the message comes again; the handler does
// not run again.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.AckWait = 300 * time.Millisecond })
	lossy := &forgetful{}
	h, got := collect()
	start(t, natstest.JetStream(t, w.Connect(t, nats.SetCustomDialer(lossy))), bus.Config{}, h)
	for n := range 5 {
		place(t, w.js, "o-1", n)
	}
	w.settled(t, 5)
	inOrder(t, got, 0, 4)
	if !lossy.lost.Load() || len(got) != 0 {
		t.Errorf("lost %t, handled again %d", lossy.lost.Load(), len(got))
	}
}
