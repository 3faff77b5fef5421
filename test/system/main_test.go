// Package system_test runs the built binary as a user does: it kills it under load
// and looks whether everything is there, stops it with requests in flight, starts it
// where it cannot start, and splits its services over processes.
package system_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the program under test. It is built once, without the race detector.
var binary string

// seed repeats the choices of a failed run; 0 draws a new one.
var seed = flag.Uint64("seed", 0, "`number` that a failed run has logged")

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "sluice-system-")
	if err != nil {
		return 0, fmt.Errorf("folder for the binary: %w", err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-race=false", "-o", binary, "sluice/services").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return m.Run(), nil
}
