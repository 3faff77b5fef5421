package erase_test

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 30 * time.Second

// process is one run of the binary.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	exited         chan struct{}
}

// start runs the binary and returns when it is ready. It is gone when the test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{exited: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(append(p.cmd.Environ(), "NATS_URL=", "NATS_CREDS=", "SMTP_URL=", "MAIL_FROM="), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start the binary: %v", err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // killing it is the point
	}()
	t.Cleanup(p.kill)
	until(t, "the program is ready", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("the program ended: %s", p.stderr.String())
		default:
		}
		return strings.Contains(p.stdout.String(), "ready in ")
	})
	return p
}

// kill ends the process as kill -9 does, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// said returns what the process printed beside a name such as HTTP.
func (p *process) said(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(p.stdout.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("the process did not print its %s: %q", name, p.stdout.String())
	return ""
}

// until returns when done does, looking again and again.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// output is a buffer that a process and a test may use at once.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
