package stack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// container is one of a service, as Docker tells.
type container struct {
	ID           string `json:"Id"`
	RestartCount int
	State        struct{ ExitCode int }
	Config       struct{ Labels map[string]string }

	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (c container) service() string { return c.Config.Labels["com.docker.compose.service"] }

// containers returns the containers of the project, or of one of its services.
func (s *Stack) containers(ctx context.Context, service string) ([]container, error) {
	list := []string{"ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=" + s.project}
	if service != "" {
		list = append(list, "--filter", "label=com.docker.compose.service="+service)
	}
	ids, err := docker(ctx, list...)
	if err != nil {
		return nil, err
	}
	if ids == "" {
		return nil, fmt.Errorf("there is no container of %s", cmp.Or(service, s.project))
	}
	content, err := docker(ctx, append([]string{"inspect"}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	var all []container
	if err := json.Unmarshal([]byte(content), &all); err != nil {
		return nil, fmt.Errorf("read what Docker tells of containers: %w", err)
	}
	slices.SortFunc(all, func(a, b container) int {
		const number = "com.docker.compose.container-number"
		return cmp.Compare(a.Config.Labels[number], b.Config.Labels[number])
	})
	return all, nil
}

func (s *Stack) mustContainers(t testing.TB, service string) []container {
	t.Helper()
	all, err := s.containers(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// address is where a container is on the network of the clients; nothing while it does
// not run.
func (s *Stack) address(c container) string {
	return c.NetworkSettings.Networks[s.network("clients")].IPAddress
}

// find returns the container with an id.
func (s *Stack) find(ctx context.Context, id string) (container, error) {
	content, err := docker(ctx, "inspect", id)
	if err != nil {
		return container{}, err
	}
	var one []container
	if err := json.Unmarshal([]byte(content), &one); err != nil {
		return container{}, fmt.Errorf("read what Docker tells of a container: %w", err)
	}
	return one[0], nil
}
