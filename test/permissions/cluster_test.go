package permissions_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"

	"sluice/pkg/natstest"
	"sluice/streams"
	"sluice/test/program"
)

var binary program.Binary

func TestMain(m *testing.M) { os.Exit(binary.Test(m)) }

// secured is a NATS server as streams/cluster sets it up, on a free port.
type secured struct {
	dir, url string
	trace    *trace
}

// startSecured runs the server until the test ends. An administrator has made the
// streams, since services may not.
func startSecured(t *testing.T) secured {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	generate := exec.CommandContext(t.Context(), "go", "run", "sluice/streams/cluster", "-dir", dir, "-nodes", "localhost", "-sync", "2m")
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	options, err := server.ProcessConfigFile(filepath.Join(dir, "localhost", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	options.Host, options.Port, options.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	options.ClientAdvertise = ""
	options.StoreDir, options.NoLog, options.NoSigs = t.TempDir(), true, true
	srv, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	watching := newTrace()
	srv.SetLoggerV2(watching, false, true, false)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	s := secured{dir: dir, url: "tls://" + srv.Addr().String(), trace: watching}
	js := natstest.JetStream(t, s.connect(t, "admin"))
	if err := streams.Reconcile(t.Context(), js, slog.New(slog.DiscardHandler), 1, "user", "order", "notification", "registry"); err != nil {
		t.Fatal(err)
	}
	return s
}

// context returns the file with which a user connects to this server.
func (s secured) context(t testing.TB, user string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, user, "context.json"))
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]string
	if err := json.Unmarshal(content, &settings); err != nil {
		t.Fatal(err)
	}
	settings["url"] = s.url
	if content, err = json.Marshal(settings); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), user+".json")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// connect returns a connection of a user, and fails the test when NATS refuses it.
func (s secured) connect(t testing.TB, user string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, _, err := natscontext.Connect(s.context(t, user), options...)
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	return nc
}
