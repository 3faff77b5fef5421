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
	commandConfig command = "config"
)

const commandUsage = `setup   creates the streams, buckets and consumers of the services named, or of all, or brings
        them up to date, with the credentials of an administrator, and ends
health  asks the process whose --ops address it is given whether it is ready; exit code 1: no
config  prints the configuration that a start would have, and where each value comes from
        config check FILE  tells everything that is wrong with a file; exit code 1: something is
        config reference   prints a file with every setting, what it is for and its default

`

// commandOf splits the command from the names that follow it.
func commandOf(names []string) (command, []string) {
	if len(names) == 0 {
		return commandServe, names
	}
	switch c := command(names[0]); c {
	case commandSetup, commandHealth, commandConfig:
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
	case commandConfig:
		return p.showConfig(o)
	default:
		return p.run(ctx, o, began)
	}
}

// prepare is the command setup.
func (p Program) prepare(ctx context.Context, o options) error {
	if o.embeds() {
		return errors.New("setup needs a NATS server: NATS_URL, NATS_CREDS or --context; an embedded one is set up when it starts")
	}
	log := telemetry.NewLogger(p.Stderr, o.Log.Format, new(telemetry.Levels))
	d := o.dialer(log)
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
	if o.Ops.Address == "" {
		return errors.New("health needs the --ops address of the process to ask")
	}
	state, err := askOps(ctx, o.Ops.Address)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p.Stdout, state); err != nil {
		return fmt.Errorf("print the state: %w", err)
	}
	return nil
}
