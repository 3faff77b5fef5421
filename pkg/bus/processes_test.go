package bus_test

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
)

// kills is how often a process is killed in the middle of its work.
const kills = 4

// Three processes; the active one is killed again and again under load. Another takes
// over, and each key is handled in order, without gaps: a process may only go back, to
// what its predecessor could not acknowledge any more.
func TestPinnedProcessesAreKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"active"}, time.Second
	})
	f, events := newFleet(t, w, bus.Hold, 3), newSource()
	events.publish(t, w.js, 200)
	last := make(map[string]record) // by key
	most := make(map[string]int)    // how many of a key were handled
	note := func(r record) {
		at := events.place[r.Sequence]
		before, again := last[r.Key]
		switch {
		case at > most[r.Key]:
			t.Errorf("%s: %d was handled, %d was due", r.Key, at, most[r.Key])
		case again && before.PID == r.PID && at != events.place[before.Sequence]+1:
			t.Errorf("%s: one process handled %d after %d", r.Key, at, events.place[before.Sequence])
		}
		last[r.Key], most[r.Key] = r, max(most[r.Key], at+1)
	}
	for range kills {
		var active int
		for range 20 + rand.IntN(100) {
			r := receive(t, f.records, 1)[0]
			note(r)
			active = r.PID
			events.publish(t, w.js, 1)
		}
		killed := time.Now()
		f.kill(t, active)
		events.publish(t, w.js, 50)
		for active != 0 {
			r := receive(t, f.records, 1)[0]
			note(r)
			if r.PID != active {
				t.Logf("process %d took over from %d within %s", r.PID, active, time.Since(killed).Round(time.Millisecond))
				active = 0
			}
		}
		f.launch(t)
		receive(t, f.ready, 1)
	}
	w.settled(t, uint64(events.next))
	for len(f.records) > 0 {
		note(<-f.records)
	}
	for key, n := range events.counts {
		if most[key] != n {
			t.Errorf("%s: %d of %d events were handled", key, most[key], n)
		}
	}
}

// Where order does not matter, three processes share the work, and whoever of them is
// killed: each event is handled.
func TestSharingProcessesAreKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f, events := newFleet(t, w, bus.Any, 3), newSource()
	handled := make(map[uint64]bool)
	share := make(map[int]int)
	note := func(r record) {
		handled[r.Sequence] = true
		share[r.PID]++
	}
	work := func(n int) {
		events.publish(t, w.js, 50)
		for range n {
			note(receive(t, f.records, 1)[0])
			events.publish(t, w.js, 1)
		}
	}
	work(600)
	if len(share) != 3 {
		t.Errorf("%d processes work", len(share))
	}
	for pid, n := range share {
		if n < 60 {
			t.Errorf("process %d handled %d of 600 events", pid, n)
		}
	}
	for range kills {
		f.mu.Lock()
		pids := make([]int, 0, len(f.running))
		for pid := range f.running {
			pids = append(pids, pid)
		}
		f.mu.Unlock()
		slices.Sort(pids)
		f.kill(t, pids[rand.IntN(len(pids))])
		work(20 + rand.IntN(100))
		f.launch(t)
		receive(t, f.ready, 1)
	}
	w.settled(t, uint64(events.next))
	for len(f.records) > 0 {
		note(<-f.records)
	}
	for sequence := uint64(1); sequence <= uint64(events.next); sequence++ {
		if !handled[sequence] {
			t.Errorf("event %d was not handled", sequence)
		}
	}
	w.letters(t, 0)
}

// An event that ends the process each time it is handled becomes a dead letter after
// as many attempts as any other, and nothing that was in hand at the same time does.
func TestEventThatEndsTheProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *jetstream.ConsumerConfig) { c.AckWait = 300 * time.Millisecond })
	events := newSource()
	events.publish(t, w.js, 20)
	poison := place(t, w.js, "o-1", -1)
	events.publish(t, w.js, 20)
	f := newFleet(t, w, bus.Hold, 0)
	exits := 0
	for letters := uint64(0); letters == 0; {
		f.launch(t)
		eventually(t, func() string {
			stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
			if err != nil {
				return err.Error()
			}
			letters = stream.CachedInfo().State.Msgs
			if letters == 0 && len(f.exits) == 0 {
				return "the process goes on without a dead letter"
			}
			return ""
		})
		if letters > 0 {
			break
		}
		var exit *exec.ExitError
		if err := receive(t, f.exits, 1)[0]; !errors.As(err, &exit) || exit.ExitCode() != exitCode {
			t.Fatalf("the process ended: %v", err)
		}
		if exits++; exits > 2*group.MaxAttempts {
			t.Fatalf("the process ended %d times, and there is no dead letter", exits)
		}
	}
	l := w.letters(t, 1)[0]
	if l.Reason != bus.ReasonAttempts || l.Sequence != poison.Sequence || l.Attempts != group.MaxAttempts {
		t.Errorf("letter %+v", l)
	}
	if exits != group.MaxAttempts {
		t.Errorf("the process ended %d times, want %d", exits, group.MaxAttempts)
	}
	w.settled(t, 41)
	w.letters(t, 1)
	handled := make(map[uint64]bool)
	for len(f.records) > 0 {
		handled[(<-f.records).Sequence] = true
	}
	if len(handled) != 40 {
		t.Errorf("%d of 40 events were handled", len(handled))
	}
}
