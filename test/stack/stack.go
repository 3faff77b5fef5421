// Package stack runs compose.yaml, three NATS servers and every service in containers, for
// tests that break parts of it. It needs Docker with Compose, and no image from outside.
//
//	s := stack.Start(t, stack.Config{})
//	leader := s.Leader(t, "ORDERS")
//	leader.Kill(t)
//	leader.Start(t)
//	s.AwaitReady(t)
//
// Each run has a project of its own, with names and ports that no other has, and removes it
// at its end. What the runs of killed processes have left is removed by the next.
package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/test/program"
)

// Config says how a stack is run.
type Config struct {
	Logs string // a folder for the logs of all containers; default: they are not kept
}

// Stack is the whole system in containers.
type Stack struct {
	Nodes []*Node // of the NATS cluster

	root    string // of the repository
	project string
	compose []string // the command with its files
	env     []string
	gateway string            // where it is published
	keys    string            // a folder with what the administrator connects with
	logs    map[string]string // of containers, by service and id, as they were read last
}

// nodes are the names of the servers in compose.yaml, for clients and for each other.
var nodes = []string{"nats-1", "nats-2", "nats-3"}

// services are what runs on them.
var services = []string{"user", "order", "notification", "deadletter", "registry", "gateway"}

// startTime bounds building images and starting everything.
const startTime = 5 * time.Minute

// Start runs a stack until the test ends, and returns when everything in it is ready.
func Start(t testing.TB, c Config) *Stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	s, err := prepare(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := s.logAll(ctx, t, c.Logs); err != nil {
			t.Error(err)
		}
		if err := errors.Join(remove(ctx, s.project), removeStandIns(ctx)); err != nil {
			t.Errorf("what the stack leaves behind: %v", err)
		}
	})
	began := time.Now()
	if err := buildImages(ctx, s.root, image(s.project)); err != nil {
		t.Fatal(err)
	}
	built := time.Now()
	s.mustCompose(t, "up", "--detach", "--no-build")
	for _, name := range nodes {
		s.Nodes = append(s.Nodes, &Node{Name: name, stack: s, container: s.mustContainers(t, name)[0].ID})
	}
	s.AwaitReady(t)
	s.copyKeys(t)
	t.Logf("images made in %s, everything ready %s later", built.Sub(began).Round(time.Second), time.Since(built).Round(time.Second))
	return s
}

// prepare finds out how to run the stack, and removes what dead runs have left.
func prepare(ctx context.Context, folder string) (*Stack, error) {
	if err := removeDead(ctx); err != nil {
		return nil, err
	}
	project, err := projectName()
	if err != nil {
		return nil, err
	}
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}"))
	if err != nil {
		return nil, err
	}
	command, err := composeCommand(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		root: root, project: project, keys: filepath.Join(folder, "keys"), logs: make(map[string]string),
		gateway: "http://127.0.0.1:" + ports[0],
		env:     []string{"SLUICE_PORT=" + ports[0], "SLUICE_NATS_PORT=" + ports[1], "SLUICE_ADMIN_PASSWORD=" + program.AdminPassword},
	}
	override := filepath.Join(folder, "override.json") // JSON is YAML
	if err := s.writeOverride(override); err != nil {
		return nil, err
	}
	s.compose = append(command, "--project-name", project, "--project-directory", root,
		"--file", filepath.Join(root, "compose.yaml"), "--file", override)
	return s, nil
}

// writeOverride gives Sluice's image the name that this run has made it under.
func (s *Stack) writeOverride(name string) error {
	all := make(map[string]any)
	for _, service := range append([]string{"keys", "setup"}, services...) {
		all[service] = map[string]string{"image": image(s.project)}
	}
	content, err := json.Marshal(map[string]any{"services": all})
	if err != nil {
		return fmt.Errorf("encode what differs from compose.yaml: %w", err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("write what differs from compose.yaml: %w", err)
	}
	return nil
}

// freePorts returns ports of this machine that nobody listens on.
func freePorts(ctx context.Context, n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		_, ports[i], err = net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return ports, nil
}

// mustCompose runs Compose on the project.
func (s *Stack) mustCompose(t testing.TB, args ...string) {
	t.Helper()
	args = append(s.compose[1:len(s.compose):len(s.compose)], args...)
	cmd := exec.CommandContext(t.Context(), s.compose[0], args...)
	cmd.Env = append(cmd.Environ(), s.env...)
	if _, err := output(cmd); err != nil {
		t.Fatal(err)
	}
}

// Anybody returns the client of nobody in particular at the gateway.
func (s *Stack) Anybody() program.Client { return program.Client{URL: s.gateway} }

// copyKeys gets the administrator's key out of the volume that it is in.
func (s *Stack) copyKeys(t testing.TB) {
	t.Helper()
	mustDocker(t, "cp", s.mustContainers(t, "setup")[0].ID+":/etc/sluice/.", s.keys)
}
