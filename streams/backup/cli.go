package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// cli is the nats CLI, and the flags by which it reaches the server.
type cli struct {
	command, options []string
}

// run returns what the CLI prints. Its error has what the CLI says about it.
func (c cli) run(ctx context.Context, args ...string) ([]byte, error) {
	words := slices.Concat(c.command[1:], args, c.options)
	cmd := exec.CommandContext(ctx, c.command[0], words...) //nolint:gosec // G204: the CLI is the operator's choice
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		if said == "" {
			said = strings.TrimSpace(stdout.String())
		}
		return nil, fmt.Errorf("nats %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return stdout.Bytes(), nil
}

// names returns the names of the server's streams.
func (c cli) names(ctx context.Context) ([]string, error) {
	out, err := c.run(ctx, "stream", "ls", "--names", "--all")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		// With no stream at all it prints a sentence.
		if name := strings.TrimSpace(line); name != "" && !strings.ContainsAny(name, " .") {
			names = append(names, name)
		}
	}
	return names, nil
}

// info is what a stream is and has.
type info struct {
	Created time.Time `json:"created"`
	Config  struct {
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	State struct {
		Messages uint64    `json:"messages"`
		FirstSeq uint64    `json:"first_seq"`
		LastSeq  uint64    `json:"last_seq"`
		LastTime time.Time `json:"last_ts"`
	} `json:"state"`
}

func (c cli) info(ctx context.Context, stream string) (info, error) {
	var i info
	out, err := c.run(ctx, "stream", "info", stream, "--json")
	if err == nil {
		err = json.Unmarshal(out, &i)
	}
	if err != nil {
		return info{}, fmt.Errorf("look at stream %s: %w", stream, err)
	}
	return i, nil
}
