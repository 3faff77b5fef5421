// Package natstest gives a test a private NATS server with JetStream: embedded, on
// a random port, with its files in the test's temporary folder.
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		srv := natstest.Start(t)
//		js := srv.JetStream(t)
//		…
//	}
//
// Everything is stopped and removed when the test ends.
package natstest

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Server is one embedded NATS server.
type Server struct {
	options *server.Options
	server  *server.Server
}

// SyncAlways makes a server of [Start] or [Cluster] sync every write to disk
// before it acknowledges it.
func SyncAlways(o *server.Options) { o.SyncAlways = true }

// Start runs a server until the test ends. It fails the test when the server does
// not accept connections within ten seconds.
func Start(t testing.TB, settings ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{options: options(t, settings)}
	s.start(t)
	t.Cleanup(s.Stop)
	return s
}

func options(t testing.TB, settings []func(*server.Options)) *server.Options {
	t.Helper()
	o := &server.Options{
		ServerName: "natstest", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: storeDir(t), NoLog: true, NoSigs: true,
	}
	for _, set := range settings {
		set(o)
	}
	return o
}

// storeDir returns a temporary folder that goes away with the test. A server that has
// shut down may still be removing files of unfinished batches, which would make the
// removal of the folder fail.
func storeDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		const wait, attempts = 10 * time.Millisecond, 500
		tick := time.NewTicker(wait)
		defer tick.Stop()
		err := os.RemoveAll(dir)
		for n := 1; err != nil && n < attempts; n++ {
			<-tick.C
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.Errorf("natstest: remove the server's files: %v", err)
		}
	})
	return dir
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	srv, err := server.NewServer(s.options)
	if err != nil {
		t.Fatalf("natstest: configure the server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		srv.Shutdown()
		srv.WaitForShutdown()
		t.Fatal("natstest: the server did not get ready within 10 s")
	}
	s.server = srv
}

// Stop shuts the server down and waits for it. Connected clients see it go. It does
// nothing when the server is down already.
func (s *Server) Stop() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// Restart stops the server, keeps its files, and starts it again on the same port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.options.Port = s.Port()
	s.Stop()
	s.start(t)
}

// Port returns the TCP port the server listens on.
func (s *Server) Port() int {
	if s.options.Port != server.RANDOM_PORT {
		return s.options.Port
	}
	return s.server.Addr().(*net.TCPAddr).Port
}

// URL returns the address clients connect to.
func (s *Server) URL() string { return s.server.ClientURL() }

// Dial returns a connection to url, such as a [Proxy]'s, that is closed when the
// test ends. It reconnects for ever, as Sluice's own connections do.
func Dial(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	options = append([]nats.Option{nats.Name(t.Name()), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}, options...)
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatalf("natstest: connect: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Connect returns a connection to the server, as [Dial] does.
func (s *Server) Connect(t testing.TB, options ...nats.Option) *nats.Conn {
	t.Helper()
	return Dial(t, s.URL(), options...)
}

// JetStream returns a JetStream context on nc.
func JetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("natstest: JetStream: %v", err)
	}
	return js
}

// JetStream returns a JetStream context on a connection of its own.
func (s *Server) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	return JetStream(t, s.Connect(t))
}
