// Package access_test runs the whole program and holds who may do what in it, endpoint
// by endpoint, and that it keeps what it is told in confidence.
package access_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/services/deadletter"
	"sluice/services/gateway"
	"sluice/services/notification"
	"sluice/services/order"
	"sluice/services/order/orderapi"
	"sluice/services/registry"
	"sluice/services/user"
	"sluice/services/user/userapi"
	"sluice/streams"
)

const (
	patience      = 30 * time.Second
	adminPassword = "planted-Adm1n-Kq8!"
	password      = "planted-Zr7#qLw!"
)

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

// system is one running program.
type system struct {
	url    string // of the gateway
	data   string // the data folder
	log    *output
	stdout *output
	nc     *nats.Conn
	js     jetstream.JetStream
	stop   func(t testing.TB) // the test's end does it too
}

// start runs every service until the test ends.
func start(t *testing.T, env map[string]string) *system {
	t.Helper()
	s := &system{data: filepath.Join(t.TempDir(), "data"), log: new(output), stdout: new(output)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	code := make(chan int, 1)
	go func() {
		code <- app.Main(ctx, app.Program{
			Name: "sluice", Version: "0.1.0",
			Setup: func(ctx context.Context, js jetstream.JetStream, log *slog.Logger, services []string) error {
				return streams.Reconcile(ctx, js, log, services...)
			},
			Services: []app.Service{user.Service, order.Service, notification.Service, deadletter.Service, registry.Service, gateway.Service},
			Stdout:   s.stdout, Stderr: s.log,
			Getenv: func(key string) string {
				if value, ok := env[key]; ok {
					return value
				}
				return map[string]string{"SLUICE_ADMIN_PASSWORD": adminPassword, "SLUICE_LOG_LEVEL": "debug"}[key]
			},
			Args: []string{"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--data", s.data, "--log-format", "json"},
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
		return strings.Contains(s.stdout.String(), "ready in ")
	})
	s.url = s.announced(t, "HTTP")
	s.nc = natstest.Dial(t, s.announced(t, "NATS"))
	s.js = natstest.JetStream(t, s.nc)
	return s
}

// announced returns what the program printed after key.
func (s *system) announced(t testing.TB, key string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + key + ` +(.+)$`).FindStringSubmatch(s.stdout.String())
	if m == nil {
		t.Fatalf("nothing is printed for %s:\n%s", key, s.stdout)
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

// ask sends a request over NATS with a token, and returns the answer.
func (s *system) ask(t testing.TB, subject, token, body string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h := nats.Header{}
	if token != "" {
		h[endpoint.HeaderAuthorization] = []string{"Bearer " + token}
	}
	reply, err := endpoint.NewCaller(s.nc, endpoint.CallerConfig{}).Request(ctx, subject, h, []byte(body))
	return reply.Body, err
}

// must asks for what has to succeed.
func must[T any](t testing.TB, s *system, subject, token, body string) T {
	t.Helper()
	answer, err := s.ask(t, subject, token, body)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	var got T
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatalf("%s: %s: %v", subject, answer, err)
	}
	return got
}

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes an HTTP request; header has names before values.
func (s *system) do(t testing.TB, method, path, token, body string, header ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(got)}
}

// person is a user with a token.
type person struct {
	userapi.User

	session userapi.Session
}

func (s *system) login(t testing.TB, login, password string) userapi.Session {
	t.Helper()
	return must[userapi.Session](t, s, "svc.user.login", "", fmt.Sprintf(`{"login":%q,"password":%q}`, login, password))
}

// newcomer registers somebody and logs them in.
func (s *system) newcomer(t testing.TB) person {
	t.Helper()
	name := "u" + strings.ReplaceAll(event.NewID(), "-", "")
	u := must[userapi.User](t, s, "svc.user.create", "", fmt.Sprintf(`{"username":%q,"email":%q,"password":%q}`, name, name+"@example.com", password))
	return person{User: u, session: s.login(t, name, password)}
}

// order places an order of p's.
func (s *system) order(t testing.TB, p person) orderapi.Order {
	t.Helper()
	return must[orderapi.Order](t, s, "svc.order.create", p.session.AccessToken, orderBody(p.ID))
}

func orderBody(user string) string {
	return fmt.Sprintf(`{"user_id":%q,"items":[{"product_id":"p-1","quantity":2,"price":{"number":"19.99","currency":"EUR"}}]}`, user)
}

func codeOf(err error) endpoint.Code {
	if e, ok := errors.AsType[*endpoint.Error](err); ok {
		return e.Code
	}
	return endpoint.CodeOf(err)
}

// admin logs in as the user of the first start.
func (s *system) admin(t testing.TB) userapi.Session {
	t.Helper()
	return s.login(t, "admin", adminPassword)
}

// withRole registers somebody and gives them a role.
func (s *system) withRole(t testing.TB, role auth.Role) person {
	t.Helper()
	p := s.newcomer(t)
	must[userapi.User](t, s, "svc.user.set-roles", s.admin(t).AccessToken, fmt.Sprintf(`{"id":%q,"roles":[%q]}`, p.ID, role))
	p.session = must[userapi.Session](t, s, "svc.user.login", "", fmt.Sprintf(`{"refresh_token":%q}`, p.session.RefreshToken))
	return p
}
