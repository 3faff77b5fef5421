package stack

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// output runs a command and returns what it printed. An error has the end of what it
// complained about.
func output(cmd *exec.Cmd) (string, error) {
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		const last = 4 << 10
		said := complaint.String()
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said[max(0, len(said)-last):])
	}
	return strings.TrimSpace(out.String()), nil
}

// docker runs the docker command.
func docker(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, "docker", args...))
}

// mustDocker is docker in a test, for what cannot fail.
func mustDocker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := docker(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// composeCommand is how Compose is called: as docker's plug-in, which is version 2 or
// later, or as the command of its own that it was before.
func composeCommand(ctx context.Context) ([]string, error) {
	_, missing := docker(ctx, "compose", "version")
	if missing == nil {
		return []string{"docker", "compose"}, nil
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		return nil, fmt.Errorf("neither docker compose (%w) nor docker-compose (%w)", missing, err)
	}
	return []string{"docker-compose"}, nil
}
