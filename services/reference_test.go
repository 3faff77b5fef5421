package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"sluice/pkg/app"
)

var update = flag.Bool("update", false, "write sluice.tsk")

// run runs a command of the program and returns what it printed.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, failure bytes.Buffer
	p := program()
	p.Args, p.Environ, p.Stdout, p.Stderr = args, []string{}, &out, &failure
	code = app.Main(t.Context(), p)
	return out.String(), failure.String(), code
}

// TestReference: sluice.tsk has every setting with its default, as the code has them, and
// loads as nothing but the defaults.
func TestReference(t *testing.T) {
	const file = "sluice.tsk"
	reference, said, code := run(t, "config", "reference")
	if code != 0 {
		t.Fatal(said)
	}
	if *update {
		if err := os.WriteFile(file, []byte(reference), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != reference {
		t.Errorf("%s is not what the code says: go test ./services -run Reference -update", file)
	}
	if _, said, code := run(t, "config", "check", file); code != 0 {
		t.Error(said)
	}
	t.Chdir(t.TempDir()) // where there is no such file
	defaults, said, code := run(t, "config")
	if code != 0 {
		t.Fatal(said)
	}
	for line := range strings.Lines(defaults) {
		setting, origin, ok := strings.Cut(strings.TrimPrefix(line, "# "), "  # ")
		if !ok {
			continue
		}
		if origin != "default\n" {
			t.Errorf("%s comes from %s", setting, origin)
		}
		if !strings.Contains(reference, setting+"\n") {
			t.Errorf("the reference has no %s", setting)
		}
	}
}
