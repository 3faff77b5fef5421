// Command backup writes what Sluice keeps in NATS to a folder, and puts it back. It
// drives the nats CLI, so whatever that reaches can be backed up:
//
//	go run ./streams/backup take FOLDER [flags of the nats CLI]
//	go run ./streams/backup check FOLDER
//	go run ./streams/backup restore [-replace] FOLDER [flags of the nats CLI]
//
// The flags say where the server is and who asks, such as --context admin or --server
// nats://127.0.0.1:4222, which is the default; it takes an administrator. -nats before
// the command is the CLI, if it is not the nats on the PATH.
//
// # What is in a backup
//
// Everything that cannot be had from something else: histories, intakes, timers, dead
// letters, and the buckets that are nobody's derivative, such as passwords, keys and how
// far each group of handlers is. Read models and snapshots are left out: they are folded
// from the histories, and would only be another thing that may not fit. So are durable
// consumers, which are made from their declarations and put where the bucket reactions
// says that the group was.
//
// A backup has secrets in it: password hashes, and the keys that sign tokens.
//
// # What it means that events flow meanwhile
//
// Each stream is as it was at one moment, but they are taken one after another. Whatever
// was acknowledged before the backup began is in it. The order sees to it that what was
// done meanwhile is done again after a restore and never believed done: how far groups
// are comes first, then what is taken away when it is done with, then the histories,
// then what only adds to them. Doing again is what every handler is made for; see
// package bus.
//
// What was erased, changed or logged out after the backup is back after a restore.
//
// # Restoring
//
// The backup is checked as a whole before the server is touched. Services must not run,
// other than gateways, since nothing tells them that what they remember is no more. A
// stream that has messages is in the way, unless -replace says that they may go. Each
// history that is restored begins a new timeline, in the same moment in which its
// messages appear; so read models, positions and files that had got further notice, at
// the next start, however much has happened by then. See package timeline. Durable
// consumers and snapshots are gone; the start of the services, or an administrator's
// setup where they may not, makes them anew.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "backup:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// run takes the command line apart: see the package's documentation.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("backup", flag.ContinueOnError)
	flags.SetOutput(stderr)
	command := flags.String("nats", "nats", "the nats CLI, as words")
	if err := flags.Parse(args); err != nil {
		return err
	}
	verb := flags.Arg(0)
	of := flag.NewFlagSet("backup "+verb, flag.ContinueOnError)
	of.SetOutput(stderr)
	replace := false
	if verb == "restore" {
		of.BoolVar(&replace, "replace", false, "delete what the server has in the streams of the backup")
	}
	if flags.NArg() == 0 {
		return errors.New("say take, check or restore, and the folder")
	}
	if err := of.Parse(flags.Args()[1:]); err != nil {
		return err
	}
	folder := of.Arg(0)
	if folder == "" {
		return fmt.Errorf("%s which folder?", verb)
	}
	c := cli{command: strings.Fields(*command), options: of.Args()[1:]}
	if len(c.command) == 0 {
		return errors.New("-nats is empty")
	}
	switch verb {
	case "take":
		return take(ctx, c, folder, stdout)
	case "check":
		m, err := check(ctx, c, folder)
		if err == nil {
			fmt.Fprintf(stdout, "%s is whole: %d streams as of %s\n", folder, len(m.Streams), m.Taken)
		}
		return err
	case "restore":
		return restore(ctx, c, folder, replace, stdout)
	default:
		return fmt.Errorf("%q is none of take, check and restore", verb)
	}
}
