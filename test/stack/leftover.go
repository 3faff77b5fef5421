package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// prefix begins the names of all projects, which go on with the process that runs one
// and with when that started.
const prefix = "sluice-stack-"

// projectName is the name of this process's project.
func projectName() (string, error) {
	started, err := startOf(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), started), nil
}

// startOf tells processes with one id apart: it is when a process started, by the
// kernel's clock.
func startOf(pid int) (string, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	const start = 19 // the 22nd of all
	if len(fields) <= start {
		return "", fmt.Errorf("process %d tells no start: %s", pid, content)
	}
	return fields[start], nil
}

// lives reports whether the process that runs a project is still there.
func lives(project string) bool {
	var (
		pid     int
		started string
	)
	if _, err := fmt.Sscanf(strings.ReplaceAll(strings.TrimPrefix(project, prefix), "-", " "), "%d %s", &pid, &started); err != nil {
		return false
	}
	now, err := startOf(pid)
	return err == nil && now == started
}

// removeDead removes what runs have left behind whose processes are gone.
func removeDead(ctx context.Context) error {
	dead := make(map[string]bool)
	for _, list := range [][]string{{"ps", "--all"}, {"volume", "ls"}, {"network", "ls"}} {
		found, err := docker(ctx, append(list, "--format", `{{.Label "com.docker.compose.project"}}`)...)
		if err != nil {
			return err
		}
		for project := range strings.FieldsSeq(found) {
			if strings.HasPrefix(project, prefix) && !lives(project) {
				dead[project] = true
			}
		}
	}
	var errs []error
	for project := range dead {
		errs = append(errs, remove(ctx, project))
	}
	return errors.Join(errs...)
}

// remove removes everything of a project, whatever state it is in.
func remove(ctx context.Context, project string) error {
	var errs []error
	for _, kind := range []struct {
		list, remove []string
	}{
		{[]string{"ps", "--all", "--quiet"}, []string{"rm", "--force", "--volumes"}},
		{[]string{"network", "ls", "--quiet"}, []string{"network", "rm"}},
		{[]string{"volume", "ls", "--quiet"}, []string{"volume", "rm", "--force"}},
	} {
		found, err := docker(ctx, append(kind.list, "--filter", "label=com.docker.compose.project="+project)...)
		errs = append(errs, err)
		if found == "" {
			continue
		}
		_, err = docker(ctx, append(kind.remove, strings.Fields(found)...)...)
		errs = append(errs, err)
	}
	if _, err := docker(ctx, "image", "inspect", image(project)); err == nil {
		_, err := docker(ctx, "image", "rm", "--force", image(project))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// image is the name of the image of Sluice in a project.
func image(project string) string { return project + ":test" }
