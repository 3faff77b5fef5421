package program

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/deadletter"
	"sluice/services/deadletter/deadletterapi"
	"sluice/services/gateway"
	"sluice/services/notification"
	"sluice/services/notification/notificationapi"
	"sluice/services/order"
	"sluice/services/order/orderapi"
	"sluice/services/registry"
	"sluice/services/registry/registryapi"
	"sluice/services/user"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// System is the whole program in the test's own process, with the client of the user
// admin and a connection to its NATS server.
type System struct {
	Run
	Client

	NATS string // where the server listens
	Data string // the data folder
	NC   *nats.Conn
	JS   jetstream.JetStream

	stop func(t testing.TB)
}

// Start runs every service until the test ends. env is the whole environment, but for the
// password of the user admin unless it is there too; empty, the program makes one up. The
// log is JSON.
func Start(t *testing.T, env map[string]string) *System {
	t.Helper()
	s := &System{Run: newRun(), Data: filepath.Join(t.TempDir(), "data")}
	all := map[string]string{adminPassword: AdminPassword}
	maps.Copy(all, env)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		defer close(s.exited)
		s.code = app.Main(ctx, app.Program{
			Name: "sluice", Version: "0.1.0", Setup: setUp, Groups: streams.Groups(), Routes: streams.Routes(),
			Endpoints: slices.Concat(userapi.Routes, orderapi.Routes, notificationapi.Routes, deadletterapi.Routes, registryapi.Routes),
			Services:  []app.Service{user.Service, order.Service, notification.Service, deadletter.Service, registry.Service, gateway.Service},
			Stdout:    s.Stdout, Stderr: s.Stderr,
			Environ: environ(all),
			Args:    append([]string{"--data", s.Data, "--log-format", "json"}, loopback...),
		})
	}()
	var once sync.Once
	s.stop = func(t testing.TB) {
		t.Helper()
		once.Do(func() {
			cancel()
			if code := s.ExitCode(t); code != 0 {
				t.Errorf("the program ended with %d:\n%s", code, s.Stderr)
			}
		})
	}
	t.Cleanup(func() { s.stop(t) })

	s.awaitReady(t)
	s.NATS = s.Said(t, "NATS")
	password := all[adminPassword]
	if password == "" {
		_, password, _ = strings.Cut(s.Said(t, "Admin"), " / ")
	}
	s.Client = Client{URL: s.Said(t, "HTTP")}.SignIn(t, "admin", password)
	// Some tests publish headers that the client cannot read when they come back.
	s.NC = natstest.Dial(t, s.NATS, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	s.JS = natstest.JetStream(t, s.NC)
	return s
}

// Stop drains the program, which the test's end does too.
func (s *System) Stop(t testing.TB) {
	t.Helper()
	s.stop(t)
}

// Ask makes a request over NATS with the client's token.
func (s *System) Ask(t testing.TB, subject string, body []byte) *nats.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{endpoint.HeaderAuthorization: {"Bearer " + s.Token}}}
	reply, err := s.NC.RequestMsgWithContext(ctx, m)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return reply
}

func setUp(ctx context.Context, js jetstream.JetStream, log *slog.Logger, what app.Setup) error {
	set, err := streams.Load(what.Services...)
	if err != nil {
		return err
	}
	return set.Replicated(what.Replicas).Routed(what.Subjects).Reconcile(ctx, js, log)
}

// environ returns variables as the operating system lists them.
func environ(all map[string]string) []string {
	list := []string{}
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	return list
}
