package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Binary is the path of the built program, without the race detector. A package that
// tests it has
//
//	var binary program.Binary
//
//	func TestMain(m *testing.M) { os.Exit(binary.Test(m)) }
type Binary string

// Test builds the program, runs the tests, removes the program and returns the exit
// code.
func (b *Binary) Test(m *testing.M) int {
	code, err := b.buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func (b *Binary) buildAndRun(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return 0, fmt.Errorf("folder for the binary: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	*b = Binary(filepath.Join(folder, "sluice"))
	build := exec.Command("go", "build", "-race=false", "-o", string(*b), "sluice/services")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// Process is one run of the binary.
type Process struct {
	Run

	Began time.Time
	PID   int

	cmd *exec.Cmd
}

// Start runs the binary and returns when it is ready. Its environment is the test's, but
// for what says where NATS is and where mail goes, with the password of the user admin
// and env, NAME=value.
func (b *Binary) Start(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	p := b.Launch(t, env, args...)
	p.awaitReady(t)
	return p
}

// Launch is Start without waiting. Whatever happens, the process is gone when the test
// ends.
func (b *Binary) Launch(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{Run: newRun(), cmd: exec.Command(string(*b), slices.Concat(loopback, args)...)}
	p.cmd.Env = append(p.cmd.Environ(), "NATS_URL=", "NATS_CREDS=", "SMTP_URL=", "MAIL_FROM=", adminPassword+"="+AdminPassword)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.Stdout, p.Stderr
	p.Began = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start the binary: %v", err)
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the exit code tells
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(p.Kill)
	return p
}

// Kill ends the process as kill -9 does, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// Signal sends a signal and does not wait for what comes of it.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v: %v", s, err)
	}
}

// Stop ends the process by SIGTERM and wants exit code 0.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	if code := p.ExitCode(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.Stderr)
	}
}

// Errors returns the lines of the log at level ERROR as one error, nil without any.
func (p *Process) Errors() error {
	var found []string
	for line := range strings.Lines(p.Stderr.String()) {
		if strings.Contains(line, "level=ERROR") {
			found = append(found, line)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%d errors in the log:\n%s", len(found), strings.Join(found, ""))
}

// Client returns the client of the user admin at the process's gateway, as soon as the
// user service runs, here or elsewhere.
func (p *Process) Client(t testing.TB) Client {
	t.Helper()
	return p.Anybody(t).SignIn(t, "admin", AdminPassword)
}

// Anybody returns the client of nobody in particular.
func (p *Process) Anybody(t testing.TB) Client {
	t.Helper()
	return Client{URL: p.Said(t, "HTTP")}
}
