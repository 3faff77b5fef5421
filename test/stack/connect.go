package stack

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream returns a JetStream context of the administrator, on a connection to the whole
// cluster that is closed when the test ends.
func (s *Stack) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	var servers []string
	for _, n := range s.Nodes {
		servers = append(servers, "tls://"+n.Name+":4222")
	}
	key, err := nats.NkeyOptionFromSeed(filepath.Join(s.keys, "user.nk"))
	if err != nil {
		t.Fatalf("the administrator's key: %v", err)
	}
	nc, err := nats.Connect(strings.Join(servers, ","), key, nats.RootCAs(filepath.Join(s.keys, "ca.pem")),
		nats.Name(t.Name()), nats.SetCustomDialer(s), nats.SkipHostLookup(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.PingInterval(time.Second))
	if err != nil {
		t.Fatalf("connect as administrator: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("JetStream: %v", err)
	}
	return js
}

// Dial connects to a node by its name, which only containers can resolve.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	for _, n := range s.Nodes {
		if n.Name != name {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		defer cancel()
		ip, err := n.address(ctx)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(ip, port))
	}
	return nil, fmt.Errorf("there is no node %s", name)
}
