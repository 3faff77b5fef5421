package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is this binary once more, in one of its [modes].
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer // closing it tells the process to end
	stderr bytes.Buffer
	said   map[string]string // what it printed on where things are: NATS, HTTP, Plain
}

// stopGrace is how long a process that was told to end may take.
const stopGrace = 30 * time.Second

// launch returns when the process is ready. It ends with ctx, by stop, and also when
// this process is killed, because its standard input ends then.
func launch(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, args...), said: make(map[string]string)} //nolint:gosec // it is this binary
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin, p.cmd.Stderr = stdin, &p.stderr
	p.cmd.Cancel, p.cmd.WaitDelay = stdin.Close, stopGrace
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if key == "ready" {
			return p, nil
		}
		p.said[key] = strings.TrimSpace(value)
	}
	return nil, errors.Join(fmt.Errorf("%s did not start", args[0]), p.stop())
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	closed := p.stdin.Close()
	if errors.Is(closed, os.ErrClosed) {
		closed = nil // it was told before
	}
	if err := errors.Join(closed, p.cmd.Wait()); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(p.stderr.Bytes()))
	}
	return nil
}
