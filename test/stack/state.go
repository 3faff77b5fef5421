package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// settleTime bounds what the stack takes to be well again.
const settleTime = 2 * time.Minute

// Leader returns the node that leads a stream.
func (s *Stack) Leader(t testing.TB, stream string) *Node {
	t.Helper()
	var leader *Node
	s.await(t, stream+" has a leader", func(ctx context.Context) error {
		for _, n := range s.Nodes {
			streams, err := n.streams(ctx)
			if err != nil {
				return err
			}
			if streams[stream].Cluster.Leader == n.Name {
				leader = n
				return nil
			}
		}
		return errors.New("none of the nodes says that it leads")
	})
	return leader
}

// AwaitReady returns when every node, every service and the gateway are ready, and the
// gateway knows all services.
func (s *Stack) AwaitReady(t testing.TB) {
	t.Helper()
	s.await(t, "everything is ready", func(ctx context.Context) error {
		all, err := s.containers(ctx, "")
		if err != nil {
			return err
		}
		var errs []error
		for _, c := range all {
			check := ":9090/readyz" // its services run and are well
			switch {
			case slices.Contains(nodes, c.service()):
				check = ":8222/healthz" // its streams are current, and JetStream has a leader
			case !slices.Contains(services, c.service()):
				continue // it has done its work
			}
			if _, err := fetch(ctx, "http://"+s.address(c)+check); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.service(), err))
			}
		}
		_, err = fetch(ctx, s.gateway+"/readyz")
		return errors.Join(append(errs, err, s.routed(ctx))...)
	})
}

// routed returns an error unless the gateway has found a route of every other service.
func (s *Stack) routed(ctx context.Context) error {
	described, err := fetch(ctx, s.gateway+"/openapi.json")
	if err != nil {
		return err
	}
	for _, path := range []string{"/v1/users", "/v1/orders", "/v1/notifications", "/v1/dead-letters", "/v1/services"} {
		if !strings.Contains(string(described), `"`+path+`"`) {
			return fmt.Errorf("the gateway has no route %s", path)
		}
	}
	return nil
}

// AwaitAgreement returns when all nodes have the same of every stream.
func (s *Stack) AwaitAgreement(t testing.TB) {
	t.Helper()
	s.await(t, "all replicas agree", func(ctx context.Context) error {
		of := make([]map[string]streamState, len(s.Nodes))
		for i, n := range s.Nodes {
			var err error
			if of[i], err = n.streams(ctx); err != nil {
				return err
			}
		}
		var errs []error
		for name, first := range of[0] {
			for i, others := range of[1:] {
				if other, found := others[name]; !found || other.State != first.State || other.Cluster != first.Cluster {
					errs = append(errs, fmt.Errorf("%s is %+v on %s and %+v on %s", name, first, s.Nodes[0].Name, other, s.Nodes[i+1].Name))
				}
			}
			if first.Cluster.Leader == "" {
				errs = append(errs, fmt.Errorf("%s has no leader", name))
			}
		}
		for i, others := range of[1:] {
			if len(others) != len(of[0]) {
				errs = append(errs, fmt.Errorf("%s has %d streams, %s has %d", s.Nodes[0].Name, len(of[0]), s.Nodes[i+1].Name, len(others)))
			}
		}
		return errors.Join(errs...)
	})
}

// await looks until it is so, and fails the test with what is in the way when that takes
// too long.
func (s *Stack) await(t testing.TB, what string, look func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settleTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s in vain until %s: %v", settleTime, what, last)
		}
	}
}

// Replace ends the containers of a service one after another, as a roll-out does: each is
// drained and removed, and another is ready before the next goes.
func (s *Stack) Replace(t testing.TB, service string) {
	t.Helper()
	for _, c := range s.mustContainers(t, service) {
		began := time.Now()
		mustDocker(t, "stop", c.ID)
		drained := time.Now()
		stopped, err := s.find(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if code := stopped.State.ExitCode; code != 0 {
			t.Errorf("%s ended with exit code %d", service, code)
		}
		if err := s.keepLog(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		mustDocker(t, "rm", "--volumes", c.ID)
		s.mustCompose(t, "up", "--detach", "--no-build", "--no-deps", "--no-recreate", service)
		started := time.Now()
		s.AwaitReady(t)
		t.Logf("%s drained in %s, another was started in %s and everything was ready %s later", service,
			drained.Sub(began).Round(time.Millisecond), started.Sub(drained).Round(time.Millisecond), time.Since(started).Round(time.Millisecond))
	}
}

// CheckServices holds that no service has ended by itself, or logged an error.
func (s *Stack) CheckServices(t testing.TB) {
	t.Helper()
	for _, c := range s.mustContainers(t, "") {
		if !slices.Contains(services, c.service()) {
			continue
		}
		if c.RestartCount > 0 {
			t.Errorf("%s ended by itself %d times", c.service(), c.RestartCount)
		}
		if err := s.keepLog(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range s.logs {
		for line := range strings.Lines(text) {
			if strings.Contains(line, `"level":"ERROR"`) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}
