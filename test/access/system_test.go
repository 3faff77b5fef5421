// Package access_test runs the whole program and holds who may do what in it, endpoint
// by endpoint, and that it keeps what it is told in confidence.
package access_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

const (
	adminPassword = "planted-Adm1n-Kq8!"
	password      = "planted-Zr7#qLw!"
)

// system is one running program.
type system struct{ *program.System }

// start runs every service until the test ends, with a log of everything.
func start(t *testing.T, env map[string]string) *system {
	t.Helper()
	all := map[string]string{"SLUICE_ADMIN_PASSWORD": adminPassword, "SLUICE_LOG_LEVEL": "debug"}
	maps.Copy(all, env)
	return &system{program.Start(t, all)}
}

// ask sends a request over NATS with a token, and returns the answer.
func (s *system) ask(t testing.TB, subject, token, body string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	h := nats.Header{}
	if token != "" {
		h[endpoint.HeaderAuthorization] = []string{"Bearer " + token}
	}
	reply, err := endpoint.NewCaller(s.NC, endpoint.CallerConfig{}).Request(ctx, subject, h, []byte(body))
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

// do makes an HTTP request; header has names before values.
func (s *system) do(t testing.TB, method, path, token, body string, header ...string) program.Answer {
	t.Helper()
	return s.As(token).Do(t, method, path, body, header...)
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
