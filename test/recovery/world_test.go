//go:build drill

package recovery_test

import (
	"context"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/test/program"
)

// world is a NATS server that outlives the services, as a cluster does.
type world struct {
	server *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	data   string
	home   string // of the nats CLI

	program.Client
	process *program.Process
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{server: natstest.Start(t), data: t.TempDir(), home: t.TempDir()}
	w.nc = w.server.Connect(t)
	w.js = natstest.JetStream(t, w.nc)
	return w
}

// start runs all services.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.process = binary.Start(t, []string{"NATS_URL=" + w.server.URL(), "SLUICE_ORDER_PENDING_TIMEOUT=1h"}, "--data", w.data)
	w.Client = w.process.Client(t)
}

// backup runs the tool and returns what it says, and whether it succeeds.
func (w *world) backup(t *testing.T, args ...string) (said string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*program.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, append(args, "--server", w.server.URL())...)
	cmd.Env = append(cmd.Environ(), "HOME="+w.home, "NATS_URL=", "NATS_CONTEXT=")
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// mustBackup is backup that has to succeed.
func (w *world) mustBackup(t *testing.T, args ...string) string {
	t.Helper()
	said, ok := w.backup(t, args...)
	if !ok {
		t.Fatalf("%v: %s", args, said)
	}
	t.Logf("%v:\n%s", args, said)
	return said
}

// ask makes a request to an endpoint with the client's token.
func (w *world) ask(t *testing.T, subject, body string) *nats.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{endpoint.HeaderAuthorization: {"Bearer " + w.Token}}}
	reply, err := w.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return reply
}

// model is a read model as svc.<service>.projection shows it.
type model struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Position uint64 `json:"position"`
	Last     uint64 `json:"last"`
}

// models returns the read models of a service by name.
func (w *world) models(t *testing.T, service string) map[string]model {
	t.Helper()
	reply := w.ask(t, "svc."+service+".projection", "{}")
	var response struct {
		Items []model `json:"items"`
	}
	if err := json.Unmarshal(reply.Data, &response); err != nil || len(response.Items) == 0 {
		t.Fatalf("%s: %s, %v", service, reply.Data, err)
	}
	all := make(map[string]model)
	for _, m := range response.Items {
		all[m.Name] = m
	}
	return all
}

// rebuild does what the operator does, and waits until the model has everything.
func (w *world) rebuild(t *testing.T, service, name string) {
	t.Helper()
	reply := w.ask(t, "svc."+service+".projection-rebuild", `{"name":"`+name+`"}`)
	if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
		t.Fatalf("rebuild %s: %s %s", name, code, reply.Data)
	}
	program.Until(t, name+" is rebuilt", func() bool {
		m := w.models(t, service)[name]
		return m.State == "following" && m.Position >= m.Last
	})
}

// last returns the last sequence of a stream.
func (w *world) last(t *testing.T, stream string) uint64 {
	t.Helper()
	s, err := w.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// events returns the subjects of a history, in order.
func (w *world) events(t *testing.T, stream, filter string) []string {
	t.Helper()
	consumer, err := w.js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for range info.NumPending {
		m, err := consumer.Next(jetstream.FetchMaxWait(program.Patience))
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, m.Subject())
	}
	return subjects
}

// timer reports whether an order's timer is set.
func (w *world) timer(t *testing.T, id string) bool {
	t.Helper()
	s, err := w.js.Stream(t.Context(), bus.TimerStream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), "timer.set.order."+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get(jetstream.ScheduleHeader) != ""
}

// settled waits until a group has nothing left to do.
func (w *world) settled(t *testing.T, stream, group string) {
	t.Helper()
	program.Until(t, group+" is idle", func() bool {
		c, err := w.js.Consumer(t.Context(), stream, group)
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
}

// mails returns the files of mails.
func (w *world) mails(t *testing.T) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(w.data, "mail", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	set := make(map[string]bool)
	for _, name := range names {
		set[name] = true
	}
	return set
}

// order is what the API shows of one, as far as the drill looks.
type order struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func registration(name string) map[string]any {
	return map[string]any{"username": name, "email": name + "@example.com", "password": program.AdminPassword}
}

func purchase(user string) map[string]any {
	return map[string]any{"user_id": user, "items": []any{map[string]any{
		"product_id": "p-1", "quantity": 2, "price": map[string]any{"number": "19.99", "currency": "EUR"},
	}}}
}

// newUser makes a user and returns its id.
func (w *world) newUser(t *testing.T, name string) string {
	t.Helper()
	var made order
	w.As("").Do(t, http.MethodPost, "/v1/users", registration(name)).Into(t, http.StatusCreated, &made)
	return made.ID
}

// newOrder makes an order and returns its id. It insists while services find each other.
func (w *world) newOrder(t *testing.T, user string, header ...string) string {
	t.Helper()
	var made order
	w.Eventually(t, http.StatusCreated, http.MethodPost, "/v1/orders", purchase(user), header...).Into(t, http.StatusCreated, &made)
	return made.ID
}

// step moves an order on.
func (w *world) step(t *testing.T, id, step string) {
	t.Helper()
	w.Do(t, http.MethodPost, "/v1/orders/"+id+"/"+step, nil).Want(t, http.StatusOK)
}

// at is the position of a stream's end, as a request sends it back.
func (w *world) at(t *testing.T, stream string) string {
	t.Helper()
	return stream + "=" + strconv.FormatUint(w.last(t, stream), 10)
}
