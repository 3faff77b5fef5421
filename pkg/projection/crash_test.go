package projection_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// cutter makes connections that break at chosen commits: before the server sees
// them, or after, with the acknowledgement lost.
type cutter struct {
	commits atomic.Int64
	key     string // what a commit looks like, if not that of the bucket
	cut     func(commit int64) (before, after bool)
}

func (c *cutter) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, cutter: c}, nil
}

type cutConn struct {
	net.Conn
	cutter *cutter
	broken atomic.Bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	commits := bytes.Count(b, []byte(cmp.Or(c.cutter.key, "PUB $KV.things.checkpoint.THINGS ")))
	for range commits {
		before, after := c.cutter.cut(c.cutter.commits.Add(1))
		if before {
			return 0, errors.Join(errors.New("cut before"), c.Close())
		}
		if after {
			c.broken.Store(true)
		}
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.broken.Load() {
		return 0, errors.Join(errors.New("cut after"), c.Close())
	}
	return n, err
}

func connectCut(t *testing.T, srv *natstest.Server, c *cutter, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	options = append(options, nats.SetCustomDialer(c), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	js, err := jetstream.New(srv.Connect(t, options...))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Whatever commit the connection breaks at, and on whichever side of the server's
// decision, nothing is folded twice or lost: also in the middle of a split event.
func TestConnectionCutAtCommits(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%t", after), func(t *testing.T) {
			t.Parallel()
			srv, w := start(t)
			for i := range 40 {
				w.write(t, fmt.Sprintf("id%d", i%3), added{fmt.Sprintf("o%d", i), 1})
			}
			w.write(t, "big", spread{Keys: 1500, Amount: 1})
			w.write(t, "big", spread{Keys: 1500, Amount: 1})
			w.write(t, "id1", moved{"end"})
			cut := &cutter{cut: func(commit int64) (bool, bool) { return !after && commit%2 == 0, after && commit%2 == 0 }}
			f := follow(t, connectCut(t, srv, cut), quick())
			f.catchUp(t)
			f.stop(t)
			if n := cut.commits.Load(); n < 10 {
				t.Fatalf("only %d commits", n)
			}
			w.compare(t)
		})
	}
}

// A process that dies at any step of a split event leaves a bucket from which another
// goes on exactly.
func TestCrashInsideSplitEvent(t *testing.T) {
	t.Parallel()
	for step := int64(1); step <= 6; step++ {
		t.Run(fmt.Sprintf("commit %d", step), func(t *testing.T) {
			t.Parallel()
			srv, w := start(t)
			w.write(t, "big", spread{Keys: 10, Amount: 1})
			w.write(t, "big", spread{Keys: 1100, Amount: 1})
			died := make(chan struct{})
			dead := &cutter{cut: func(commit int64) (bool, bool) {
				if commit == step {
					close(died)
				}
				return false, commit == step
			}}
			f := follow(t, connectCut(t, srv, dead, nats.NoReconnect()), quick())
			select {
			case <-died:
			case <-t.Context().Done():
			}
			f.stop(t)
			g := follow(t, w.js, quick())
			defer g.stop(t)
			w.write(t, "big", added{"z", 1})
			g.catchUp(t)
			w.compare(t)
		})
	}
}

// Two runners of one model race while events arrive. The model stays exact, both are
// healthy and know the position, and either goes on alone.
func TestTwoRunnersRace(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	f, g := follow(t, w.js, quick()), follow(t, srv.JetStream(t), quick())
	var writing sync.WaitGroup
	for writer := range 4 {
		writing.Go(func() {
			for i := range 150 {
				w.write(t, fmt.Sprintf("id%d", (i+writer)%5), added{fmt.Sprintf("o%d", i%9), 1})
			}
		})
	}
	writing.Wait()
	for _, x := range []follower{f, g} {
		x.catchUp(t)
		if err := x.runner.Health(); err != nil {
			t.Errorf("Health: %v", err)
		}
	}
	w.compare(t)
	f.stop(t)
	w.write(t, "id1", moved{"alone"})
	g.catchUp(t)
	w.compare(t)
	g.stop(t)
}

// A writer that sleeps in the middle of a batch wakes up after another has gone on:
// its batch is refused, and it goes on only when the other has stopped.
func TestStaleWriterWakesUp(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	asleep, awake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f := followWith(t, w.js, quick(), func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		once.Do(func() {
			close(asleep)
			<-awake
		})
		return fold(tx, e, data)
	})
	for range 10 {
		w.write(t, "a", added{"x", 1})
	}
	<-asleep
	g := follow(t, srv.JetStream(t), quick())
	g.catchUp(t)
	close(awake)
	f.catchUp(t)
	w.compare(t)
	w.write(t, "a", added{"y", 1})
	f.catchUp(t)
	g.catchUp(t)
	w.compare(t)
	g.stop(t)
	w.write(t, "a", added{"z", 1})
	f.catchUp(t)
	w.compare(t)
	f.stop(t)
}

// The server restarts under both reader and writer; the runner goes on by itself.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	f := follow(t, srv.JetStream(t), quick())
	for round := range 3 {
		for i := range 20 {
			w.write(t, fmt.Sprintf("id%d", i%3), added{"x", round})
		}
		srv.Restart(t)
		awaitConnection(t, w.js)
		w.write(t, "id0", added{"y", 1})
		f.catchUp(t)
		w.compare(t)
	}
	f.stop(t)
}

// awaitConnection waits until js answers again after a restart.
func awaitConnection(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		attempt, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err := js.Stream(attempt, things.Name)
		stop()
		if err == nil {
			return
		}
	}
	t.Fatal("the server did not come back")
}

// The runner's consumer is deleted under it.
func TestConsumerDeleted(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	history, err := w.js.Stream(t.Context(), things.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name := range history.ConsumerNames(t.Context()).Name() {
		if err := history.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	w.compare(t)
}
