package telemetry_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/metric"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// What telemetry does is of a whole process and comes from its environment, so tests
// run this binary again, as a program that works when it is told to.
const programMode = "telemetry-program"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == programMode {
		os.Exit(runProgram())
	}
	shutdown := telemetry.Setup(context.Background(), telemetry.Config{Name: "test"}).Shutdown
	code := m.Run()
	if err := shutdown(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// worked is what the program says after a piece of work.
type worked struct {
	TraceID  string  `json:"trace_id"`
	Sampled  bool    `json:"sampled"`
	Baggage  string  `json:"baggage,omitzero"` // that it would hand on
	Seconds  float64 `json:"seconds"`
	Shutdown string  `json:"shutdown,omitzero"` // the error of it
	Scrape   string  `json:"scrape,omitzero"`
	Error    string  `json:"error,omitzero"`
}

// stopWithin is how long the program's shutdown may take.
const stopWithin = 500 * time.Millisecond

// runProgram reads lines: "work", with a traceparent and baggage perhaps, "flow" with the
// URL of a server, and "stop".
func runProgram() int {
	ctx := context.Background()
	t := telemetry.Setup(ctx, telemetry.Config{
		Name: "sluice", Version: "1.2.3", Services: []string{"order", "user"}, Getenv: setting,
		Log: os.Stderr, LogFormat: "json", Levels: new(telemetry.Levels),
	})
	count, err := otel.Meter("test").Int64Counter("test.work", metric.WithUnit("{piece}"))
	if err != nil {
		t.Log.Error("no counter", "error", err)
		return 1
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		began := time.Now()
		var done worked
		switch words[0] {
		case "work":
			h := nats.Header{}
			for _, word := range words[1:] {
				name, value, _ := strings.Cut(word, ":")
				h[name] = []string{value}
			}
			done = work(telemetry.Extract(ctx, h), t)
			count.Add(ctx, 1)
		case "flow":
			if done.TraceID, done.Scrape, err = flow(ctx, t, words[1]); err != nil {
				done.Error = err.Error()
			}
		case "stop":
			ctx, cancel := context.WithTimeout(ctx, stopWithin)
			err := t.Shutdown(ctx)
			cancel()
			if err != nil {
				done.Shutdown = err.Error()
			}
		}
		done.Seconds = time.Since(began).Seconds()
		if err := json.MarshalWrite(os.Stdout, done); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprintln(os.Stdout)
	}
	return 0
}

// setting returns one of the program's settings, which are its arguments as well as its
// environment.
func setting(name string) string {
	for _, arg := range os.Args[2:] {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}

// work is a request that the order service takes and asks the user service about.
func work(ctx context.Context, t *telemetry.Telemetry) worked {
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: "story"})
	ctx, outer := telemetry.Start(telemetry.WithService(ctx, "order"), "ask")
	defer outer.End()
	for range 100 {
		_, inner := telemetry.Start(telemetry.WithService(ctx, "user"), "answer")
		inner.SetAttributes(attribute.Bool("inner", true))
		inner.End()
	}
	t.Log.InfoContext(ctx, "worked", "service", "order")
	sent := nats.Header{}
	telemetry.Inject(ctx, sent)
	out := worked{TraceID: telemetry.TraceID(ctx), Sampled: outer.IsRecording()}
	if list := sent["baggage"]; len(list) > 0 {
		out.Baggage = list[0]
	}
	if b := baggage.FromContext(ctx).String(); b != out.Baggage {
		out.Baggage = "handed on " + out.Baggage + " of " + b
	}
	return out
}

// program is the running program.
type program struct {
	in      io.WriteCloser
	answers *bufio.Scanner
	log     *signalling
	ended   func() error
}

// launch runs the program with these settings in its environment.
func launch(t *testing.T, settings ...string) *program {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, append([]string{programMode}, settings...)...)
	cmd.Env = settings
	p := &program{log: newSignalling()}
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.answers = bufio.NewScanner(out)
	p.answers.Buffer(nil, 1<<20)
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = sync.OnceValue(func() error {
		p.in.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { _ = p.ended() }) // killed, if it is still there
	return p
}

// end ends the program and returns all it has logged.
func (p *program) end(t *testing.T) string {
	t.Helper()
	if err := p.ended(); err != nil {
		t.Errorf("the program: %v", err)
	}
	return p.log.text()
}

// do has the program carry out one command.
func (p *program) do(t *testing.T, command ...string) worked {
	t.Helper()
	if _, err := io.WriteString(p.in, strings.Join(command, " ")+"\n"); err != nil {
		t.Fatal(err)
	}
	if !p.answers.Scan() {
		t.Fatalf("the program is gone: %v\n%s", p.answers.Err(), p.log.text())
	}
	var done worked
	if err := json.Unmarshal(p.answers.Bytes(), &done); err != nil {
		t.Fatalf("%s: %v", p.answers.Bytes(), err)
	}
	return done
}

// signalling keeps what is written and tells when there is more.
type signalling struct {
	mu      sync.Mutex
	written bytes.Buffer
	changed chan struct{}
}

func newSignalling() *signalling { return &signalling{changed: make(chan struct{})} }

func (s *signalling) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.written.Write(b)
}

func (s *signalling) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

func (s *signalling) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// await returns when what is true, which it may become each time that changed says so.
func await(t *testing.T, what string, changed func() <-chan struct{}, is func() bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		next := changed()
		if is() {
			return
		}
		select {
		case <-next:
		case <-timeout:
			t.Fatalf("in vain: %s", what)
		}
	}
}
