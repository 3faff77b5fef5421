//go:build tour

// Package tour_test runs the tour of the README as it stands there: every block
// marked sh, in one shell on a terminal, against the real binary. It needs curl,
// script (util-linux) and the nats CLI on the PATH; `.ci/run tour` sees to that.
package tour_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/test/program"
)

// binary is the program under test.
var binary program.Binary

func TestMain(m *testing.M) { os.Exit(binary.Test(m)) }

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
	p := binary.Start(t, []string{"SLUICE_ADMIN_PASSWORD="}, "--data", filepath.Join(folder, "data"))
	t.Cleanup(func() { p.Stop(t) })
	address := strings.TrimPrefix(p.Said(t, "HTTP"), "http://")
	password, found := strings.CutPrefix(p.Said(t, "Admin"), "admin / ")
	if !found {
		t.Fatalf("no password of the user admin in %q", p.Stdout)
	}
	var commands strings.Builder
	fmt.Fprintf(&commands, "set -eu\npassword='%s'\n", password)
	for _, block := range blocks {
		commands.WriteString(strings.ReplaceAll(block[1], "localhost:8080", address))
	}
	if err := os.WriteFile(filepath.Join(folder, "tour.sh"), []byte(commands.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", "bash tour.sh", "/dev/null")
	shell.Dir = folder
	shell.Env = append(shell.Environ(), "NATS_URL="+p.Said(t, "NATS"), "HOME="+folder, "TERM=xterm")
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
