package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

// replicaMode, as the first argument, makes the test binary one replica of a service
// instead: see runReplica.
const replicaMode = "replica"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == replicaMode {
		fmt.Fprintln(os.Stderr, runReplica(context.Background(), os.Args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// replica says what a process of its own does.
type replica struct {
	URL   string    `json:"url"`
	Order bus.Order `json:"order"`
}

// exitCode is that of a process which a poisonous event ends.
const exitCode = 7

// runReplica handles events: it reports each to the test, which has noted it when it
// answers, and dies of negative numbers.
func runReplica(ctx context.Context, settings string) error {
	var r replica
	if err := json.Unmarshal([]byte(settings), &r); err != nil {
		return err
	}
	nc, err := nats.Connect(r.URL)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	report := func(key string, sequence uint64) error {
		body, err := json.Marshal(record{PID: os.Getpid(), Key: key, Sequence: sequence})
		if err == nil {
			_, err = nc.Request("report", body, 20*time.Second)
		}
		return err
	}
	g := group
	g.Order = r.Order
	c := bus.Consume(js, g, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		if e.Data.N < 0 {
			os.Exit(exitCode)
		}
		return report(e.Subject, e.Sequence)
	}))
	if err := c.Start(ctx); err != nil {
		return err
	}
	if err := report("", 0); err != nil {
		return err
	}
	select {} // until it is killed
}

// record is one event handled by one process.
type record struct {
	PID      int    `json:"pid"`
	Key      string `json:"key"`
	Sequence uint64 `json:"sequence"`
}

// fleet is some processes and what they have handled, in that order.
type fleet struct {
	settings string
	records  chan record
	ready    chan int
	mu       sync.Mutex
	running  map[int]*exec.Cmd
	exits    chan error
}

// newFleet runs n processes until the test ends.
func newFleet(t *testing.T, w *world, order bus.Order, n int) *fleet {
	t.Helper()
	settings, err := json.Marshal(replica{URL: w.URL(), Order: order})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		settings: string(settings), records: make(chan record, 1<<20), ready: make(chan int, 100),
		running: make(map[int]*exec.Cmd), exits: make(chan error, 100),
	}
	nc := w.Connect(t)
	if _, err := nc.Subscribe("report", func(m *nats.Msg) {
		var r record
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Error(err)
		}
		if r.Key == "" {
			f.ready <- r.PID
		} else {
			f.records <- r
		}
		if err := m.Respond(nil); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for range n {
		f.launch(t)
	}
	t.Cleanup(func() {
		f.mu.Lock()
		var left []int
		for pid := range f.running {
			left = append(left, pid)
		}
		f.mu.Unlock()
		for _, pid := range left {
			f.kill(t, pid)
		}
	})
	receive(t, f.ready, n)
	return f
}

// launch starts one more process.
func (f *fleet) launch(t *testing.T) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, replicaMode, f.settings)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.running[cmd.Process.Pid] = cmd
	f.mu.Unlock()
	go func() {
		err := cmd.Wait()
		f.mu.Lock()
		delete(f.running, cmd.Process.Pid)
		f.mu.Unlock()
		f.exits <- err
	}()
}

// kill ends a process, which gets no chance to do anything, and returns when it is
// gone.
func (f *fleet) kill(t *testing.T, pid int) {
	t.Helper()
	f.mu.Lock()
	cmd, ok := f.running[pid]
	f.mu.Unlock()
	if !ok {
		t.Fatalf("process %d does not run", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	receive(t, f.exits, 1)
}

// source publishes events of some keys and remembers their order.
type source struct {
	next   int
	place  map[uint64]int // of an event among those of its key
	counts map[string]int
}

func newSource() *source {
	return &source{place: make(map[uint64]int), counts: make(map[string]int)}
}

func (s *source) publish(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for range n {
		id := "o-" + strconv.Itoa(s.next%7)
		s.next++
		s.place[place(t, js, id, s.next).Sequence] = s.counts[id]
		s.counts[id]++
	}
}
