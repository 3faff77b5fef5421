package access_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// secret is something that nobody may find afterwards.
type secret struct{ what, text string }

// forms are the spellings in which a secret could be written down.
func (s secret) forms() [][]byte {
	raw := []byte(s.text)
	return [][]byte{
		raw, []byte(url.QueryEscape(s.text)), []byte(hex.EncodeToString(raw)),
		[]byte(base64.RawStdEncoding.EncodeToString(raw)[:len(s.text)]), []byte(base64.RawURLEncoding.EncodeToString(raw)[:len(s.text)]),
	}
}

// secretsOf returns what of a session is secret. A token's signature is enough to know
// it by; its claims are no secret.
func secretsOf(who string, s userapi.Session) []secret {
	token := strings.Split(s.AccessToken, ".")
	return []secret{{who + "'s access token", token[len(token)-1]}, {who + "'s refresh token", s.RefreshToken}}
}

// TestSecretsAreNowhere makes requests of every kind, good ones and such as are refused,
// with secrets wherever somebody could put them. Then it reads everything that the
// system wrote: its log, its streams and buckets, its files, and what it exported.
func TestSecretsAreNowhere(t *testing.T) { //nolint:paralleltest // a process exports with the providers of one program
	env := telemetry(os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) //nolint:forbidigo // as the exporters do, which read it there
	s := start(t, env)
	root := s.admin(t)
	p := s.newcomer(t)
	found := append(secretsOf("the admin", root), secretsOf("the user", p.session)...)
	found = append(found, secret{"the admin's password", adminPassword}, secret{"the user's password", password})

	ended := s.login(t, p.Username, password)
	found = append(found, secretsOf("an ended session", ended)...)
	must[struct{}](t, s, "svc.user.logout", "", fmt.Sprintf(`{"refresh_token":%q}`, ended.RefreshToken))
	next := must[userapi.Session](t, s, "svc.user.login", "", fmt.Sprintf(`{"refresh_token":%q}`, p.session.RefreshToken))
	found = append(found, secretsOf("the next session", next)...)
	const changed = "planted-Ch4nged!pw"
	must[struct{}](t, s, "svc.user.set-password", next.AccessToken, fmt.Sprintf(`{"id":%q,"current":%q,"new":%q}`, p.ID, password, changed))
	found = append(found, secret{"the new password", changed})
	o := s.order(t, p)

	held := []string{password, adminPassword, changed, root.AccessToken, root.RefreshToken, next.AccessToken, next.RefreshToken, p.session.RefreshToken}
	for _, word := range held {
		s.sayEverywhere(t, word, p.ID, o.ID)
	}
	must[userapi.User](t, s, "svc.user.update", next.AccessToken, fmt.Sprintf(`{"id":%q,"email":"new-%s"}`, p.ID, p.Email))
	gone := s.newcomer(t)
	must[userapi.EraseResponse](t, s, "svc.user.erase", gone.session.AccessToken, fmt.Sprintf(`{"id":%q}`, gone.ID))
	program.Until(t, "spans, metrics and log lines were exported", func() bool {
		return collected.count("/v1/traces") > 0 && collected.count("/v1/metrics") > 0 && collected.count("/v1/logs") > 0 &&
			collected.has([]byte("svc.user.login"))
	})
	written := s.stored(t)
	s.Stop(t)

	if !strings.Contains(s.Stderr.String(), `"level":"DEBUG"`) || !strings.Contains(s.Stderr.String(), o.ID[:8]) && !strings.Contains(s.Stderr.String(), "svc.order.create") {
		t.Error("the log is not that of a program that tells everything")
	}
	for _, one := range found {
		for _, form := range one.forms() {
			if bytes.Contains([]byte(s.Stderr.String()), form) {
				t.Errorf("the log has %s: %s", one.what, around(s.Stderr.String(), string(form)))
			}
			if strings.Contains(s.Stdout.String(), string(form)) {
				t.Errorf("the output has %s", one.what)
			}
			if collected.has(form) {
				t.Errorf("telemetry has %s", one.what)
			}
			for where, content := range written {
				if bytes.Contains(content, form) {
					t.Errorf("%s has %s", where, one.what)
				}
			}
		}
	}
	s.lookIntoFiles(t, found, p.Email)
	if strings.Contains(s.Stderr.String(), p.Email) || collected.has([]byte(p.Email)) {
		t.Errorf("log or telemetry have an e-mail address: %s", around(s.Stderr.String(), p.Email))
	}
	for where, content := range written {
		keeps := slices.ContainsFunc([]string{"USERS ", "KV_users ", "KV_notification-users "}, func(prefix string) bool { return strings.HasPrefix(where, prefix) })
		if !keeps && bytes.Contains(content, []byte(p.Email)) {
			t.Errorf("%s has an e-mail address", where)
		}
	}
}

// TestAPasswordThatIsPrintedIsPrintedOnly, and stored as a hash alone.
func TestAPasswordThatIsPrintedIsPrintedOnly(t *testing.T) {
	t.Parallel()
	s := start(t, map[string]string{"SLUICE_ADMIN_PASSWORD": ""})
	name, made, ok := strings.Cut(s.Said(t, "Admin"), " / ")
	if !ok || name != "admin" || len(made) < 20 {
		t.Fatalf("it prints %q", s.Said(t, "Admin"))
	}
	session := s.login(t, name, made)
	must[userapi.ListResponse](t, s, "svc.user.list", session.AccessToken, `{}`)
	written := s.stored(t)
	s.Stop(t)
	found := append(secretsOf("the admin", session), secret{"the password", made})
	for _, one := range found {
		for _, form := range one.forms() {
			if strings.Contains(s.Stderr.String(), string(form)) || collected.has(form) {
				t.Errorf("log or telemetry have %s", one.what)
			}
			for where, content := range written {
				if bytes.Contains(content, form) {
					t.Errorf("%s has %s", where, one.what)
				}
			}
		}
	}
	s.lookIntoFiles(t, found, "")
}

// sayEverywhere puts a secret into every place of a request that it fits in.
func (s *system) sayEverywhere(t *testing.T, word, user, order string) {
	t.Helper()
	quoted := fmt.Sprintf("%q", word)
	for _, body := range []string{
		`{"login":"somebody","password":` + quoted + `}`, `{"login":` + quoted + `,"password":"some password"}`,
		`{"refresh_token":` + quoted + `}`, `{"login":"x","password":` + quoted + `,"refresh_token":` + quoted + `}`,
		`{"password":` + quoted + `,`, `{"password":` + quoted + `,"password":` + quoted + `}`, `{"password":[` + quoted + `]}`,
		`{"passwort":` + quoted + `}`, `[` + quoted + `]`, quoted, word,
		`{"login":"x","password":"` + strings.Repeat(word, 10) + `"}`,
		`{"username":"` + fresh() + `","email":"no address","password":` + quoted + `}`,
		`{"username":"` + fresh() + `","email":"` + fresh() + `@example.com","password":` + quoted + `}`,
		`{"id":"` + user + `","current":` + quoted + `,"new":` + quoted + `}`,
		`{"id":` + quoted + `}`,
	} {
		for _, path := range []string{"/v1/sessions", "/v1/sessions/end", "/v1/users", "/v1/orders/" + order + "/confirm"} {
			s.do(t, http.MethodPost, path, "", body, "Idempotency-Key", word)
		}
		s.do(t, http.MethodPut, "/v1/users/"+user+"/password", "", body)
		for _, subject := range []string{
			"svc.user.login", "svc.user.logout", "svc.user.create", "svc.user.authenticate", "svc.user.set-password", "svc.user.get", "svc.order.get",
		} {
			_, err := s.ask(t, subject, "", body)
			s.mustNotTell(t, subject, err, word)
			_, err = s.ask(t, subject, word, body)
			s.mustNotTell(t, subject, err, word)
		}
	}
	for _, header := range []string{
		"Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Sluice-Position", "Sluice-Timeout", "Sluice-User-Id", "Cookie", "X-Api-Key",
		"Traceparent", "Tracestate", "Baggage", "Content-Type", "Accept", "User-Agent", "Referer", "Origin", "X-Forwarded-For", "Last-Event-Id",
	} {
		for _, value := range []string{word, "Bearer " + word, "Basic " + word, "a=" + word} {
			s.do(t, http.MethodPost, "/v1/orders/"+order+"/cancel", "", "{}", header, value)
			s.do(t, http.MethodGet, "/v1/users/"+user, "", "", header, value)
		}
	}
	for _, path := range []string{
		"/v1/users/" + url.PathEscape(word), "/v1/orders/" + url.PathEscape(word) + "/history", "/" + url.PathEscape(word),
		"/v1/users?password=" + url.QueryEscape(word), "/v1/users?access_token=" + url.QueryEscape(word), "/v1/orders?cursor=" + url.QueryEscape(word),
	} {
		s.do(t, http.MethodGet, path, "", "")
		s.do(t, http.MethodGet, path, word, "")
		s.do(t, http.MethodDelete, path, tampered(word), "")
	}
	for _, body := range []string{`{"type":"user.created","data":` + quoted + `}`, word} {
		s.do(t, http.MethodPost, "/v1/events", word, body, "Content-Type", "application/cloudevents+json")
	}
	reply, err := s.NC.RequestMsg(&nats.Msg{Subject: "svc.user.get", Data: []byte(`{"id":"x"}`), Header: nats.Header{
		endpoint.HeaderAuthorization: {"Bearer " + word, word}, endpoint.HeaderIdempotencyKey: {word}, endpoint.HeaderTimeout: {word},
		endpoint.HeaderPosition: {word}, "traceparent": {word}, "authorization": {"Bearer " + word},
	}}, program.Patience)
	if err != nil || bytes.Contains(reply.Data, []byte(word)) {
		t.Errorf("it answers %s, %v", reply.Data, err)
	}
}

func fresh() string { return "f" + strings.ReplaceAll(event.NewID(), "-", "") }

func (s *system) mustNotTell(t *testing.T, subject string, err error, word string) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), word) {
		t.Errorf("%s tells what it was told: %v", subject, err)
	}
}

// stored returns every message of every stream, by stream and subject.
func (s *system) stored(t *testing.T) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	names := s.JS.StreamNames(t.Context())
	for name := range names.Name() {
		stream, err := s.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		for sequence := max(state.FirstSeq, 1); sequence <= state.LastSeq; sequence++ {
			m, err := stream.GetMsg(t.Context(), sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			all[fmt.Sprintf("%s %s %d", name, m.Subject, sequence)] = fmt.Appendf(nil, "%s\n%v\n%s", m.Subject, m.Header, m.Data)
		}
	}
	if err := names.Err(); err != nil || len(all) < 20 {
		t.Fatalf("there are %d messages, %v", len(all), err)
	}
	return all
}

// lookIntoFiles reads the data folder, in which there are also bytes that no stream
// shows any more. An address may be in the history of users, in read models of users,
// and in mail.
func (s *system) lookIntoFiles(t *testing.T, found []secret, address string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(s.Data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, one := range found {
			for _, form := range one.forms() {
				if bytes.Contains(content, form) {
					t.Errorf("%s has %s", path, one.what)
				}
			}
		}
		keeps := slices.ContainsFunc([]string{"/USERS/", "/KV_users/", "/KV_notification-users/", "/mail/"}, func(part string) bool { return strings.Contains(path, part) })
		if address != "" && !keeps && bytes.Contains(content, []byte(address)) {
			t.Errorf("%s has an e-mail address", path)
		}
		return nil
	})
	if err != nil || files < 20 {
		t.Fatalf("looked into %d files: %v", files, err)
	}
}

// around returns a little of what stands around a text.
func around(all, text string) string {
	at := strings.Index(all, text)
	if at < 0 {
		return ""
	}
	return all[max(0, at-300):min(len(all), at+len(text)+100)]
}
