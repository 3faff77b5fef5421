// Package flows_test runs the whole program, every service on an embedded NATS
// server, and meets it as outsiders do: over HTTP, over NATS, by mail. Each file is
// one promise to them.
package flows_test

import (
	"bufio"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/test/program"
)

// system is one running program.
type system struct{ *program.System }

// start runs every service until the test ends.
func start(t *testing.T, env map[string]string) *system {
	t.Helper()
	return &system{program.Start(t, env)}
}

// lines returns the log lines whose members are all as wanted.
func (s *system) lines(t testing.TB, wanted map[string]string) []map[string]any {
	t.Helper()
	var found []map[string]any
	scanner := bufio.NewScanner(strings.NewReader(s.Stderr.String()))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", scanner.Text(), err)
		}
		fits := true
		for name, value := range wanted {
			fits = fits && line[name] == value
		}
		if fits {
			found = append(found, line)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
