//go:build drill

// Package recovery_test is the drill: a backup is taken, more happens, the backup is
// put back, and everything that had got further notices. It runs the real binary, the
// tool in streams/backup and the nats CLI, which has to be on the PATH; `.ci/run drill`
// sees to that.
package recovery_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sluice/test/program"
)

// binary is the program under test, and tool the one that takes and restores backups.
var (
	binary program.Binary
	tool   string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "sluice-drill-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	tool = filepath.Join(folder, "backup")
	if out, err := exec.Command("go", "build", "-o", tool, "sluice/streams/backup").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the tool: %w\n%s", err, out)
	}
	return binary.Test(m), nil
}
