package interop_test

import (
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
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/services/gateway"
	"sluice/services/notification"
	"sluice/services/order"
	"sluice/services/user"
	"sluice/streams"
)

// system is the whole program, running.
type system struct{ url, natsURL string }

// start runs every service until the test ends.
func start(t *testing.T) system {
	t.Helper()
	var stdout, stderr output
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	code := make(chan int, 1)
	data := filepath.Join(t.TempDir(), "data")
	go func() {
		code <- app.Main(ctx, app.Program{
			Name: "sluice", Version: "0.1.0",
			Setup: func(ctx context.Context, js jetstream.JetStream, log *slog.Logger, services []string) error {
				return streams.Reconcile(ctx, js, log, services...)
			},
			Services: []app.Service{user.Service, order.Service, notification.Service, gateway.Service},
			Stdout:   &stdout, Stderr: &stderr,
			Getenv: func(string) string { return "" },
			Args:   []string{"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--data", data, "--log-format", "json"},
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case got := <-code:
			if got != 0 {
				t.Errorf("the program ended with %d:\n%s", got, &stderr)
			}
		case <-time.After(patience):
			t.Errorf("the program does not end:\n%s", &stderr)
		}
	})
	until(t, "the program is ready", func() bool {
		select {
		case got := <-code:
			code <- got
			t.Fatalf("the program ended with %d:\n%s", got, &stderr)
		default:
		}
		return strings.Contains(stdout.String(), "ready in ")
	})
	announced := func(key string) string {
		m := regexp.MustCompile(`(?m)^` + key + ` +(\S+)$`).FindStringSubmatch(stdout.String())
		if m == nil {
			t.Fatalf("no address of %s in:\n%s", key, &stdout)
		}
		return m[1]
	}
	return system{url: announced("HTTP"), natsURL: announced("NATS")}
}

// get asks for path until it is there, and reads it into v.
func (s system) get(t testing.TB, path string, v any) {
	t.Helper()
	until(t, path+" is there", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusOK {
			return false
		}
		if err := json.Unmarshal(body, v); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return true
	})
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
