package stack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// Node is one server of the NATS cluster.
type Node struct {
	Name string

	stack     *Stack
	container string
}

// Kill ends the server as kill -9 does.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	mustDocker(t, "kill", n.container)
}

// Stop ends the server by SIGTERM, and returns when it is gone.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	mustDocker(t, "stop", n.container)
}

// Start runs it again, on what it has stored.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	mustDocker(t, "start", n.container)
}

// Pause freezes the server: its connections stay open, and nothing comes of them.
func (n *Node) Pause(t testing.TB) {
	t.Helper()
	mustDocker(t, "pause", n.container)
}

// Resume thaws it.
func (n *Node) Resume(t testing.TB) {
	t.Helper()
	mustDocker(t, "unpause", n.container)
}

// Cut takes the server off the network that the nodes have among themselves. Clients
// still reach it.
func (n *Node) Cut(t testing.TB) {
	t.Helper()
	mustDocker(t, "network", "disconnect", n.stack.network("routes"), n.container)
}

// Heal brings it back.
func (n *Node) Heal(t testing.TB) {
	t.Helper()
	mustDocker(t, "network", "connect", "--alias", n.Name+"-routes", n.stack.network("routes"), n.container)
}

// network is the name of a network of compose.yaml.
func (s *Stack) network(name string) string { return s.project + "_" + name }

// address is where clients reach the server.
func (n *Node) address(ctx context.Context) (string, error) {
	c, err := n.stack.find(ctx, n.container)
	if err != nil {
		return "", fmt.Errorf("%s: %w", n.Name, err)
	}
	at := n.stack.address(c)
	if at == "" {
		return "", fmt.Errorf("%s does not run", n.Name)
	}
	return at, nil
}

// monitor asks the server's monitoring.
func (n *Node) monitor(ctx context.Context, path string) ([]byte, error) {
	at, err := n.address(ctx)
	if err != nil {
		return nil, err
	}
	content, err := fetch(ctx, "http://"+at+":8222"+path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	return content, nil
}

// askTime bounds one look at a container.
const askTime = 5 * time.Second

// fetch returns the body of a 200.
func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %s", url, resp.StatusCode, body)
	}
	return body, nil
}

// streamState is how one node has a stream.
type streamState struct {
	Name  string `json:"name"`
	State struct {
		Messages uint64 `json:"messages"`
		Bytes    uint64 `json:"bytes"`
		First    uint64 `json:"first_seq"`
		Last     uint64 `json:"last_seq"`
		Deleted  int    `json:"num_deleted"`
		Subjects int    `json:"num_subjects"`
	} `json:"state"`
	Cluster struct {
		Leader string `json:"leader"`
	} `json:"cluster"`
}

// streams returns the streams that the node has a replica of, by name.
func (n *Node) streams(ctx context.Context) (map[string]streamState, error) {
	content, err := n.monitor(ctx, "/jsz?acc=SLUICE&streams=true")
	if err != nil {
		return nil, err
	}
	var jsz struct {
		Accounts []struct {
			Streams []streamState `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.Unmarshal(content, &jsz); err != nil {
		return nil, fmt.Errorf("%s: read its streams: %w", n.Name, err)
	}
	all := make(map[string]streamState)
	for _, account := range jsz.Accounts {
		for _, stream := range account.Streams {
			all[stream.Name] = stream
		}
	}
	return all, nil
}
