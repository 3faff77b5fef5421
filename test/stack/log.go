package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// keepLog reads what a container has logged until now.
func (s *Stack) keepLog(ctx context.Context, c container) error {
	content, err := exec.CommandContext(ctx, "docker", "logs", "--timestamps", c.ID).CombinedOutput()
	if err != nil {
		return fmt.Errorf("log of %s: %w: %s", c.service(), err, content)
	}
	s.logs[fmt.Sprintf("%s-%.12s", c.service(), c.ID)] = string(content)
	return nil
}

// logAll writes what all containers have logged to a folder, if there is to be one, and the
// end of it to the test's log when the test has failed.
func (s *Stack) logAll(ctx context.Context, t testing.TB, folder string) error {
	t.Helper()
	all, err := s.containers(ctx, "")
	errs := []error{err}
	for _, c := range all {
		errs = append(errs, s.keepLog(ctx, c))
	}
	for name, text := range s.logs {
		if t.Failed() {
			const end = 4 << 10
			t.Logf("the end of the log of %s:\n%s", name, text[max(0, len(text)-end):])
		}
		if folder != "" {
			errs = append(errs, os.WriteFile(filepath.Join(folder, name+".log"), []byte(text), 0o600))
		}
	}
	return errors.Join(errs...)
}
