package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/services/gateway"
	"sluice/services/order"
	"sluice/services/user"
	"sluice/streams"
)

const (
	modeNATS     = "nats-server" // argument: the sync interval
	modeServices = "services"    // argument: the URL of the NATS server
)

// modes are what this binary does when a contest runs it for one of its processes.
// Each is a program as users run it, so that what is measured is what they get.
var modes = map[string]func(argument string) app.Program{
	modeNATS: func(sync string) app.Program {
		return app.Program{
			Args:    []string{"--nats", "127.0.0.1:0", "--sync", sync},
			Environ: []string{},
		}
	},
	modeServices: func(url string) app.Program {
		return app.Program{
			Args:     []string{"--http", "127.0.0.1:0"},
			Environ:  []string{"NATS_URL=" + url},
			Services: []app.Service{user.Service, order.Service, plainService, gateway.Service},
			Setup: func(ctx context.Context, js jetstream.JetStream, log *slog.Logger, what app.Setup) error {
				return streams.Reconcile(ctx, js, log, what.Replicas, what.Services...)
			},
		}
	},
}

// serve runs a program until standard input ends, which it does when the process at
// its other end goes, whatever way it goes. The data folder goes with the program.
func serve(mode func(string) app.Program, args []string) int {
	signal.Ignore(os.Interrupt) // at a terminal it goes to the whole group, but our parent decides
	code, err := serveIn(mode, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return code
}

func serveIn(mode func(string) app.Program, args []string) (code int, err error) {
	if len(args) != 1 {
		return 0, errors.New("this mode takes one argument")
	}
	folder, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		cancel(err)
	}()
	program := mode(args[0])
	program.Name, program.Version = "bench", "0.1.0"
	program.Args = append(program.Args, "--data", folder)
	return app.Main(ctx, program), nil
}
