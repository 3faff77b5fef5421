package system_test

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// process is one run of the binary.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ready          chan struct{} // closed once it has printed where things are
	exited         chan struct{} // closed once it is gone and its output complete
	began          time.Time
}

// launch runs the binary with random ports and does not wait for it. Whatever
// happens, it is gone when the test ends.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{ready: make(chan struct{}), exited: make(chan struct{})}
	p.stdout.await, p.stdout.seen = "ready in ", p.ready
	p.cmd = exec.Command(binary, append([]string{"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(p.cmd.Environ(), "NATS_URL=", "NATS_CREDS=", "SMTP_URL=", "MAIL_FROM=")
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start the binary: %v", err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // ProcessState tells
	}()
	t.Cleanup(p.kill)
	return p
}

const patience = 30 * time.Second // for what takes well under a second on a quiet machine

// start runs the binary and returns when it is ready.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, env, args...)
	select {
	case <-p.ready:
	case <-p.exited:
		t.Fatalf("exit code %d instead of a start: %s", p.cmd.ProcessState.ExitCode(), p.stderr.String())
	case <-time.After(patience):
		t.Fatalf("not ready in %s: %s", patience, p.stderr.String())
	}
	return p
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

// kill ends the process as kill -9 does, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// terminate sends SIGTERM.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
}

// exitCode waits for the end of a process that shall end by itself.
func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("did not end within %s: %s", patience, p.stderr.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends the process in an orderly way and returns the log's lines.
func (p *process) stop(t *testing.T) string {
	t.Helper()
	p.terminate(t)
	if code := p.exitCode(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	return p.stderr.String()
}

// jetStream connects to the process's NATS server.
func (p *process) jetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	return jetStream(t, p.said(t, "NATS"))
}

func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("JetStream: %v", err)
	}
	return js
}

// mailFolder is where a process with this data folder puts its mail.
func mailFolder(data string) string { return filepath.Join(data, "mail") }

// output collects what a process writes and reports when it has written a line that
// begins with await.
type output struct {
	await string
	seen  chan struct{}

	mu    sync.Mutex
	text  bytes.Buffer
	found bool
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	if o.seen != nil && !o.found && bytes.Contains(append([]byte("\n"), o.text.Bytes()...), []byte("\n"+o.await)) {
		o.found = true
		close(o.seen)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// errorLines returns the lines of a text log at level ERROR.
func errorLines(log string) error {
	var found []error
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=ERROR") {
			found = append(found, errors.New(strings.TrimSpace(line)))
		}
	}
	return errors.Join(found...)
}
