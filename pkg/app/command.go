package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/pkg/telemetry"
)

// command is what a run of the program is for.
type command string

const (
	commandServe  command = "" // starts services
	commandSetup  command = "setup"
	commandHealth command = "health"
)

const commandUsage = `setup   creates the streams, buckets and consumers of the services named, or of all, or brings
        them up to date, with the credentials of an administrator, and ends
health  asks the process whose --ops address it is given whether it is ready; exit code 1: no

`

// commandOf splits the command from the names that follow it.
func commandOf(names []string) (command, []string) {
	if len(names) == 0 {
		return commandServe, names
	}
	switch c := command(names[0]); c {
	case commandSetup, commandHealth:
		return c, names[1:]
	default:
		return commandServe, names
	}
}

func (c command) do(ctx context.Context, p Program, o options, began time.Time) error {
	switch c {
	case commandSetup:
		return p.prepare(ctx, o)
	case commandHealth:
		return p.askHealth(ctx, o)
	default:
		return p.run(ctx, o, began)
	}
}

// prepare is the command setup.
func (p Program) prepare(ctx context.Context, o options) error {
	if o.embeds() {
		return errors.New("setup needs a NATS server: NATS_URL, NATS_CREDS or --context; an embedded one is set up when it starts")
	}
	log := telemetry.NewLogger(p.Stderr, o.logFormat, new(telemetry.Levels))
	d := &dialer{url: o.natsURL, creds: o.natsCreds, context: o.natsContext, log: log}
	defer d.closeAll()
	if err := p.setUp(ctx, d, log, o.setup()); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(p.Stdout, "NATS at %s is set up\n", d.address()); err != nil {
		return fmt.Errorf("print the outcome: %w", err)
	}
	return nil
}

// askHealth is the command health.
func (p Program) askHealth(ctx context.Context, o options) error {
	if o.ops == "" {
		return errors.New("health needs the --ops address of the process to ask")
	}
	state, err := askOps(ctx, o.ops)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p.Stdout, state); err != nil {
		return fmt.Errorf("print the state: %w", err)
	}
	return nil
}
