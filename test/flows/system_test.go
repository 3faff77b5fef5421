// Package flows_test runs the whole program, every service on an embedded NATS
// server, and meets it as outsiders do: over HTTP, over NATS, by mail. Each file is
// one promise to them.
package flows_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/natstest"
	"sluice/services/deadletter"
	"sluice/services/gateway"
	"sluice/services/notification"
	"sluice/services/order"
	"sluice/services/registry"
	"sluice/services/user"
	"sluice/streams"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// system is one running program.
type system struct {
	url     string // of the gateway
	natsURL string
	data    string // the data folder
	log     *output
	nc      *nats.Conn
	js      jetstream.JetStream
	stop    func(t testing.TB) // drains the program; the test's end does it too
}

// start runs every service until the test ends.
func start(t *testing.T, env map[string]string) *system {
	t.Helper()
	s := &system{data: filepath.Join(t.TempDir(), "data"), log: newOutput()}
	stdout := newOutput()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	code := make(chan int, 1)
	go func() {
		code <- app.Main(ctx, app.Program{
			Name: "sluice", Version: "0.1.0",
			Setup: func(ctx context.Context, js jetstream.JetStream, log *slog.Logger, services []string) error {
				return streams.Reconcile(ctx, js, log, services...)
			},
			Services: []app.Service{user.Service, order.Service, notification.Service, deadletter.Service, registry.Service, gateway.Service},
			Stdout:   stdout, Stderr: s.log,
			Getenv: func(key string) string { return env[key] },
			Args:   []string{"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--data", s.data, "--log-format", "json"},
		})
	}()
	var once sync.Once
	s.stop = func(t testing.TB) {
		t.Helper()
		once.Do(func() {
			cancel()
			select {
			case got := <-code:
				if got != 0 {
					t.Errorf("the program ended with %d:\n%s", got, s.log)
				}
			case <-time.After(patience):
				t.Errorf("the program does not end:\n%s", s.log)
			}
		})
	}
	t.Cleanup(func() { s.stop(t) })

	until(t, "the program is ready", func() bool {
		select {
		case got := <-code:
			code <- got
			t.Fatalf("the program ended with %d:\n%s", got, s.log)
		default:
		}
		return strings.Contains(stdout.String(), "ready in ")
	})
	s.url, s.natsURL = announced(t, stdout.String(), "HTTP"), announced(t, stdout.String(), "NATS")
	// Some tests publish headers that the client cannot read when they come back.
	s.nc = natstest.Dial(t, s.natsURL, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	var err error
	if s.js, err = jetstream.New(s.nc); err != nil {
		t.Fatal(err)
	}
	return s
}

// announced returns the address that the program printed after key.
func announced(t testing.TB, printed, key string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + key + ` +(\S+)$`).FindStringSubmatch(printed)
	if m == nil || strings.HasSuffix(m[1], ":0") {
		t.Fatalf("no address of %s in:\n%s", key, printed)
	}
	return m[1]
}

// until returns when done does, looking again and again.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// output is a buffer that a program and a test may use at once.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func newOutput() *output { return &output{} }

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

// lines returns the log lines whose members are all as wanted.
func (s *system) lines(t testing.TB, wanted map[string]string) []map[string]any {
	t.Helper()
	var found []map[string]any
	scanner := bufio.NewScanner(strings.NewReader(s.log.String()))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", scanner.Text(), err)
		}
		fits := true
		for name, value := range wanted {
			fits = fits && line[name] == value
		}
		if fits {
			found = append(found, line)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes an HTTP request. A body goes out as JSON, unless header, name before
// value, says otherwise; an empty value takes the header away.
func (s *system) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := s.try(t.Context(), method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *system) try(ctx context.Context, method, path, body string, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Content-Type" {
			req.Header.Del("Content-Type")
		}
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, header: res.Header, body: string(got)}, err
}

// get reads a 200 into v.
func (s *system) get(t testing.TB, path string, v any, header ...string) {
	t.Helper()
	s.do(t, http.MethodGet, path, "", header...).into(t, http.StatusOK, v)
}

func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, not %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}
