//go:build tour

// Package tour_test runs the tour of the README as it stands there: every block
// marked sh, in one shell on a terminal, against the real binary. It needs curl,
// script (util-linux) and the nats CLI on the PATH; `.ci/run tour` sees to that.
package tour_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTour(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 6 {
		t.Fatalf("README has %d blocks marked sh", len(blocks))
	}
	folder := t.TempDir()
	httpAddress, natsURL := start(t, folder)
	var commands strings.Builder
	commands.WriteString("set -eu\n")
	for _, block := range blocks {
		commands.WriteString(strings.ReplaceAll(block[1], "localhost:8080", httpAddress))
	}
	if err := os.WriteFile(filepath.Join(folder, "tour.sh"), []byte(commands.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", "bash tour.sh", "/dev/null")
	shell.Dir = folder
	shell.Env = append(shell.Environ(), "NATS_URL="+natsURL, "HOME="+folder, "TERM=xterm")
	output, err := shell.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Fatalf("the tour failed: %v", err)
	}
	rest := string(output)
	for _, want := range []string{
		`"username":"ada"`,
		`"status":"pending"`, `"total_amount":{"number":"39.98","currency":"EUR"}`,
		"feed.order.confirmed.",
		`"type":"order.created"`, `"type":"order.confirmed"`,
		"DEADLETTERS", "ORDERS",
		"order.created.", "ce-type: order.created", "order.confirmed.",
		`"status":"confirmed"`,
		"notification",
		"svc.order.create", "http.path", "/v1/orders",
		`"email":"ada@example.com"`,
		"user.created.", "ce-id: x-1",
		"Dead-Letter-Reason: dropped", "not an event",
		`"consumer":"user-intake"`, `"data":"not an event"`,
		".eml",
		`"kind":"order_confirmation"`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the tour shows no %q after what came before it", want)
		}
		rest = after
	}
}

// start builds the binary, runs it in folder and returns where it listens.
func start(t *testing.T, folder string) (httpAddress, natsURL string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sluice")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "sluice/services").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	program := exec.Command(binary, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	program.Dir = folder
	program.Stderr = t.Output()
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := program.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := program.Wait(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch key, value, _ := strings.Cut(lines.Text(), " "); key {
		case "HTTP":
			httpAddress = strings.TrimPrefix(strings.TrimSpace(value), "http://")
		case "NATS":
			natsURL = strings.TrimSpace(value)
		case "ready":
			return httpAddress, natsURL
		}
	}
	t.Fatal("the program ended before it was ready")
	return "", ""
}
