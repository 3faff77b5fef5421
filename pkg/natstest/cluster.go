package natstest

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// settleTime bounds what a cluster takes to elect leaders.
const settleTime = 20 * time.Second

// Nodes are embedded servers that replicate streams among themselves.
type Nodes struct {
	Servers []*Server
}

// Cluster runs a cluster of the given number of nodes in this process until the
// test ends. It fails the test when there is no leader for JetStream in time.
func Cluster(t testing.TB, nodes int, settings ...func(*server.Options)) *Nodes {
	t.Helper()
	c := &Nodes{}
	ports := freePorts(t, nodes)
	for i, port := range ports {
		o := options(t, settings)
		o.ServerName = "natstest-" + strconv.Itoa(i+1)
		o.Cluster = server.ClusterOpts{Name: "natstest", Host: "127.0.0.1", Port: port, NoAdvertise: true}
		for _, p := range ports {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p))})
		}
		node := &Server{options: o}
		node.start(t)
		t.Cleanup(node.Stop)
		c.Servers = append(c.Servers, node)
	}
	wait(t, "JetStream has a leader and all its peers", func() bool {
		for _, node := range c.Servers {
			if node.server.JetStreamIsLeader() && len(node.server.JetStreamClusterPeers()) == nodes {
				return true
			}
		}
		return false
	})
	return c
}

// Connect returns a connection to the cluster that knows all nodes, as [Dial] does.
func (c *Nodes) Connect(t testing.TB, options ...nats.Option) *nats.Conn {
	t.Helper()
	addresses := make([]string, len(c.Servers))
	for i, node := range c.Servers {
		addresses[i] = node.URL()
	}
	return Dial(t, strings.Join(addresses, ","), options...)
}

// JetStream returns a JetStream context on a connection of its own.
func (c *Nodes) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	return JetStream(t, c.Connect(t))
}

// Leader returns the node that leads the stream, once there is one.
func (c *Nodes) Leader(t testing.TB, stream string) *Server {
	t.Helper()
	var leader *Server
	wait(t, "stream "+stream+" has a leader", func() bool {
		for _, node := range c.Servers {
			if node.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				leader = node
			}
		}
		return leader != nil
	})
	return leader
}

// StepDown makes the leader of the stream give up its office to another node.
func (c *Nodes) StepDown(t testing.TB, stream string) {
	t.Helper()
	leader := c.Leader(t, stream)
	if err := leader.server.JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream); err != nil {
		t.Errorf("natstest: step down from stream %s: %v", stream, err)
	}
}

// wait looks until condition holds, and fails the test when that takes too long.
func wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(settleTime)
	defer deadline.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("natstest: waited %s until %s", settleTime, what)
		}
	}
}

// freePorts returns ports that nobody listens on; the routes have to be known before
// the nodes run.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("natstest: find a port: %v", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
