package natstest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/natstest"
)

func TestServersArePrivateAndKeepTheirFilesOverARestart(t *testing.T) {
	t.Parallel()
	a, b := natstest.Start(t), natstest.Start(t)
	js := a.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "kept", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream(t).Stream(t.Context(), "KEPT"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("another server knows the stream: %v", err)
	}
	url := a.URL()
	a.Restart(t)
	if a.URL() != url {
		t.Errorf("the server was at %s and is at %s", url, a.URL())
	}
	stream, err := a.JetStream(t).Stream(t.Context(), "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("after a restart there are %d messages", n)
	}
}

func TestProxyLosesRepliesButNotRequests(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	proxy := srv.Proxy(t)
	asked := make(chan string, 8)
	if _, err := srv.Connect(t).Subscribe("ask", func(m *nats.Msg) {
		asked <- string(m.Data)
		if err := m.Respond([]byte("answer")); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{}, 1)
	nc := natstest.Dial(t, proxy.URL(), nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	if _, err := nc.Request("ask", []byte("one"), 5*time.Second); err != nil {
		t.Fatalf("through the proxy: %v", err)
	}
	proxy.MuteAfter("two")
	if _, err := nc.Request("ask", []byte("two"), 100*time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("a muted request: %v", err)
	}
	proxy.Cut()
	<-back
	if _, err := nc.Request("ask", []byte("three"), 5*time.Second); err != nil {
		t.Errorf("after the cut: %v", err)
	}
	for _, want := range []string{"one", "two", "three"} {
		if got := <-asked; got != want {
			t.Errorf("the service was asked %q, want %q", got, want)
		}
	}
}
