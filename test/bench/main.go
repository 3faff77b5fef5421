// Command bench measures Sluice beside what people would use instead: raw nats.go,
// watermill, the CloudEvents SDK, hallgren/eventsourcing on SQLite, grpc-go, net/http.
//
//	go run ./test/bench                     everything, some minutes
//	go run ./test/bench -run 'append|load'  the contests whose names match
//	go run ./test/bench -quick              one short round of each, to see that it runs
//	go run ./test/bench -cpuprofile FILE    what this process spends its CPU on, for go tool pprof
//	go run ./test/bench -tsv FILE           also name, unit, ours, peer, ratio, tab-separated
//
// A figure alone says more about the machine than about the code, so every contest
// runs both sides in turns, several rounds, and what counts is the ratio of their
// medians: above 1 we are better, whatever the unit.
//
// The NATS server is a process of its own, reached over loopback, with one replica and
// file storage in a temporary folder; each contest gets a fresh one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		if mode, ok := modes[os.Args[1]]; ok {
			os.Exit(serve(mode, os.Args[2:]))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	pattern := flags.String("run", "", "run the contests whose names match this `regexp`")
	quick := flags.Bool("quick", false, "one short round of each contest: shows that it runs, measures nothing")
	tsv := flags.String("tsv", "", "also write the figures to this `file`, tab-separated")
	cpu := flags.String("cpuprofile", "", "write a CPU profile of this process to this `file`; the server's is not in it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	selected, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	lines := io.Discard
	if *tsv != "" {
		file, err := os.Create(*tsv)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		lines = file
	}
	out := report{table: os.Stdout, tsv: lines}
	if err := out.head(); err != nil {
		return err
	}
	return profiled(*cpu, func() error { return holdAll(ctx, selected, *quick, out) })
}

// holdAll holds the selected contests and reports each when it is over.
func holdAll(ctx context.Context, selected *regexp.Regexp, quick bool, out report) error {
	for _, c := range contests() {
		if !selected.MatchString(c.name) {
			continue
		}
		rows, err := c.hold(ctx, quick)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := out.add(rows); err != nil {
			return err
		}
	}
	return nil
}
