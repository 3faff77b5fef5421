// Package erase_test holds the promise that erasure erases: it runs the built binary,
// kills it at every step of an erasure, starts it again, and looks for the name and
// the address in every file of every data folder.
package erase_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the program under test. It is built once, without the race detector.
var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "sluice-erase-")
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
