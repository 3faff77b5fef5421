//go:build upgrade

// Package upgrade_test runs the previous version of the program, built from this
// repository's own history, and the present one on the same data: one after the other,
// and side by side. `.ci/run upgrade` runs it.
package upgrade_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sluice/test/program"
)

// previous is the commit that the last release was made of.
const previous = "8263b392103a675c2f54faca33917d52947590a3"

// older and newer are the two versions.
var older, newer program.Binary

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "sluice-upgrade-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	source := filepath.Join(folder, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		return 0, err
	}
	archive := filepath.Join(folder, "source.tar")
	root := exec.Command("git", "rev-parse", "--show-toplevel")
	top, err := root.Output()
	if err != nil {
		return 0, fmt.Errorf("the previous version is built from the repository's history, and this is no repository: %w", err)
	}
	for _, step := range []*exec.Cmd{
		exec.Command("git", "-C", string(top[:len(top)-1]), "archive", "--output", archive, previous),
		exec.Command("tar", "-xf", archive, "-C", source),
		exec.Command("go", "build", "-o", filepath.Join(folder, "older"), "./services"),
	} {
		if step.Args[0] == "go" {
			step.Dir = source
		}
		if out, err := step.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build the previous version, commit %s, which takes the whole history (git fetch --unshallow): %w\n%s", previous, err, out)
		}
	}
	older = program.Binary(filepath.Join(folder, "older"))
	return newer.Test(m), nil
}
