// Package program runs Sluice in tests and meets it as outsiders do. [Start] runs all
// services in the test's own process:
//
//	s := program.Start(t, nil)
//	s.Do(t, http.MethodGet, "/v1/orders", nil).Want(t, http.StatusOK)
//
// A [Binary] is the program as it is built, in processes of its own that may run some
// services only, be killed, and be started again on the same data:
//
//	p := binary.Start(t, nil, "--data", data)
//	p.Kill()
//	p = binary.Start(t, nil, "--data", data)
//
// Either way it listens on free ports and is gone when the test ends.
package program

import (
	"strings"
	"testing"
	"time"
)

// Patience is how long anything may take on a busy machine that takes well under a
// second on a quiet one.
const Patience = 30 * time.Second

// Run is one run of the program, in whichever way.
type Run struct {
	Stdout, Stderr *Output

	ready  chan struct{} // closed once it has printed where things are
	exited chan struct{} // closed once it is gone and its output complete
	code   int           // its exit code, once exited is closed
}

func newRun() Run {
	r := Run{Stdout: &Output{}, Stderr: &Output{}, ready: make(chan struct{}), exited: make(chan struct{})}
	r.Stdout.await, r.Stdout.seen = "ready in ", r.ready
	return r
}

// loopback makes the program listen on free ports; later flags win.
var loopback = []string{"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0"}

// awaitReady returns when the program is ready, and fails the test when it ends instead.
func (r *Run) awaitReady(t testing.TB) {
	t.Helper()
	select {
	case <-r.ready:
	case <-r.exited:
		t.Fatalf("exit code %d instead of a start: %s", r.code, r.Stderr)
	case <-time.After(Patience):
		t.Fatalf("not ready in %s: %s", Patience, r.Stderr)
	}
}

// Exited returns a channel that is closed once the program is gone.
func (r *Run) Exited() <-chan struct{} { return r.exited }

// ExitCode waits for the end of a program that shall end by itself.
func (r *Run) ExitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-r.exited:
	case <-time.After(Patience):
		t.Fatalf("did not end within %s: %s", Patience, r.Stderr)
	}
	return r.code
}

// Said returns what the program printed beside a name such as HTTP.
func (r *Run) Said(t testing.TB, name string) string {
	t.Helper()
	value, found := r.said(name)
	if !found {
		t.Fatalf("the program did not print its %s: %q", name, r.Stdout)
	}
	return value
}

func (r *Run) said(name string) (value string, found bool) {
	for line := range strings.Lines(r.Stdout.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// Until returns when done does, looking again and again.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", Patience, what)
		}
	}
}
