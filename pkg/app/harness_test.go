package app_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/pkg/app"
)

const patience = 20 * time.Second

// output is a writer that can be waited on.
type output struct {
	mu      sync.Mutex
	content bytes.Buffer
	written chan struct{}
}

func newOutput() *output { return &output{written: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.written <- struct{}{}:
	default:
	}
	return o.content.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.content.String()
}

// process is one run of a program.
type process struct {
	stdout, stderr *output
	stop           context.CancelFunc
	code           chan int
}

// launch runs the program on ports and in a folder of its own; later flags win.
func launch(t *testing.T, p app.Program, env map[string]string, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	run := &process{stdout: newOutput(), stderr: newOutput(), stop: stop, code: make(chan int, 1)}
	p.Name, p.Stdout, p.Stderr = "sluice", run.stdout, run.stderr
	p.Environ = append([]string{}, p.Environ...)
	for name, value := range env {
		p.Environ = append(p.Environ, name+"="+value)
	}
	p.Args = append([]string{"--nats", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...)
	go func() { run.code <- app.Main(ctx, p) }()
	return run
}

// ready waits for the program to be up, and returns what it said.
func (p *process) ready(t *testing.T) string {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(p.stdout.String(), "ready in ") {
		select {
		case <-p.stdout.written:
		case code := <-p.code:
			t.Fatalf("it ended with %d: %s", code, p.stderr)
		case <-deadline:
			t.Fatalf("not ready: %s%s", p.stdout, p.stderr)
		}
	}
	return p.stdout.String()
}

func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.code:
		return code
	case <-time.After(patience):
		t.Fatalf("it does not end: %s%s", p.stdout, p.stderr)
		return 0
	}
}

// fails waits for exit code 1 and returns the one line on stderr.
func (p *process) fails(t *testing.T) string {
	t.Helper()
	if code := p.exit(t); code != 1 {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, p.stdout, p.stderr)
	}
	line, rest, _ := strings.Cut(p.stderr.String(), "\n")
	if rest != "" || !strings.HasPrefix(line, "sluice: ") {
		t.Fatalf("not one line: %q", p.stderr.String())
	}
	return line
}

// journal records what happens in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

var errBroken = errors.New("broken on purpose")

// part is a part that a test steers.
type part struct {
	name    string
	journal *journal
	start   func(ctx context.Context) error
	stop    func(ctx context.Context) error
	health  error
}

func (p *part) Start(ctx context.Context) error {
	p.journal.add("+" + p.name)
	if p.start != nil {
		return p.start(ctx)
	}
	return nil
}

func (p *part) Stop(ctx context.Context) error {
	p.journal.add("-" + p.name)
	if p.stop != nil {
		return p.stop(ctx)
	}
	return nil
}

func (p *part) Health() error { return p.health }

func serviceOf(name string, parts ...app.Part) app.Service {
	return app.Service{Name: name, Run: func(ctx context.Context, env app.Env) error { return env.Run(ctx, parts...) }}
}
