// Package app is the life of a process: it reads the command line, starts a NATS
// server of its own or connects to one, starts services one after another, waits,
// and drains them in reverse.
//
// A program is a value, so a test can run it as main does:
//
//	app.Main(ctx, app.Program{
//		Name:     "sluice",
//		Services: []app.Service{user.Service, order.Service, gateway.Service},
//		Setup:    setUpStreams,
//	})
//
// A service is a name and a function. The function makes its parts from an [Env] and
// hands them to [Env.Run], which starts them, reports that the service is ready,
// waits until the program ends, and stops them:
//
//	func run(ctx context.Context, env app.Env) error {
//		nc, err := env.Connect("endpoints")
//		…
//		return env.Run(ctx, bus.Consume(…), view.Follow(…), endpoint.Serve(nc, …))
//	}
//
// What a service can be told is a struct, [Service].Settings, which is a section of the
// configuration file. What may change while the program runs does when [Program].Reload
// says so: policies, groups of handlers and log levels by themselves, and what the service
// sees to with [OnReload].
//
// Parts are stopped in the reverse order of their start, so what takes work in from
// outside comes last: it stops first, while what it needs still runs. The same holds
// between services: one that calls another is listed after it.
//
// Whatever goes wrong before everything is ready ends the program with one line on
// stderr and exit code 1.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/config"
	"sluice/pkg/endpoint"
	"sluice/pkg/telemetry"
)

// Program is everything a process consists of. The zero values of Stdout, Stderr,
// Args and Environ are the operating system's.
type Program struct {
	Name     string    // of the command, and the prefix of its error line
	Version  string    // reported by every service; default "dev"
	Services []Service // in the order they start; stopped in reverse

	// Setup prepares NATS for the services that are about to start, on a connection
	// of its own; nil does nothing.
	Setup func(ctx context.Context, js jetstream.JetStream, log *slog.Logger, what Setup) error

	// Groups are the groups of handlers that the configuration may change: see
	// [Env.Group].
	Groups []bus.Group

	// Routes are the subjects, by group, of events that the configuration may keep from a
	// group: order.created.*. What a group must see is not among them.
	Routes map[string][]string

	// Endpoints are those that the services may call. The configuration may say how: see
	// [Env.Policies].
	Endpoints []endpoint.Spec

	StopTimeout time.Duration // for draining all services together; default 20 s

	Stdout, Stderr io.Writer
	Args           []string // without the command's name; nil means os.Args[1:]
	Environ        []string // NAME=value; nil means os.Environ()

	// Reload is sent something when the configuration shall be read again, as on SIGHUP.
	Reload <-chan os.Signal
}

// Setup is what NATS is prepared for.
type Setup struct {
	Services []string // that will run
	Replicas int      // of each stream and bucket that is created; 1 where there is no cluster
	// Subjects are what the configuration routes to a group, in place of all that it may
	// be routed; by group, and only those that are routed.
	Subjects map[string][]string
}

// Service is one service by name. Run returns when ctx is done and its parts are
// stopped; it ends in a call of [Env.Run].
type Service struct {
	Name string
	Run  func(ctx context.Context, env Env) error
	// Settings is a struct with the defaults of what the configuration may say of the
	// service in the section of its name; nil has nothing. Its tags, and how it is checked,
	// are those of package config. Run gets it by [SettingsOf].
	Settings any
}

// Part is something that a service runs: a consumer, a read model, a server. Start
// returns once it is ready, so that what starts after it can rely on it; the context
// lives until the part is stopped. Stop takes no new work, finishes what is in
// flight, and returns, at the latest when its context ends.
//
// A part has no way to fail once it is started: it recovers by itself. One that has
// a Health() error method says there what is wrong meanwhile.
type Part interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Main runs the program until ctx is done and returns the exit code: 0 after an
// orderly end and for -h, 1 after an error, which stands in one line on stderr.
func Main(ctx context.Context, p Program) int {
	began := time.Now()
	p = p.withDefaults()
	o, err := parseOptions(p)
	if errors.Is(err, errHelp) {
		return 0
	}
	if err == nil {
		err = o.command.do(ctx, p, o, began)
	}
	if invalid, ok := errors.AsType[*config.InvalidError](err); ok && o.command == commandConfig {
		fmt.Fprintln(p.Stderr, invalid) // a line for each problem
		return 1
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %s\n", p.Name, oneLine(err))
		return 1
	}
	return 0
}

func (p Program) withDefaults() Program {
	p.Version = cmp.Or(p.Version, "dev")
	p.StopTimeout = cmp.Or(p.StopTimeout, 20*time.Second)
	if p.Stdout == nil {
		p.Stdout = os.Stdout
	}
	if p.Stderr == nil {
		p.Stderr = os.Stderr
	}
	if p.Args == nil {
		p.Args = os.Args[1:]
	}
	if p.Environ == nil {
		p.Environ = os.Environ()
	}
	return p
}

func (p Program) run(ctx context.Context, o options, began time.Time) (err error) {
	var levels telemetry.Levels
	if err := levels.Set(o.Log.Level); err != nil {
		return err
	}
	observed := telemetry.Setup(ctx, telemetry.Config{
		Name: p.Name, Version: p.Version, Services: o.services, Getenv: p.getenv,
		Log: p.Stderr, LogFormat: o.Log.Format, Levels: &levels,
	})
	log := observed.Log
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := observed.Shutdown(ctx); err != nil {
			log.WarnContext(ctx, "telemetry not exported to the end", "error", err)
		}
	}()

	dialer := o.dialer(log)
	if o.embeds() {
		srv, err := embed(ctx, o, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, srv.stop()) }()
		dialer.server = srv.server
	}
	defer dialer.closeAll()
	s := newSupervisor(p, o, dialer, log)
	s.levels = &levels
	if o.Ops.Address != "" {
		listening, failed := listenOps(ctx, o.Ops.Address, s, log)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, listening.stop()) }()
		s.announce("Ops", listening.url())
	}

	selected := slices.DeleteFunc(slices.Clone(p.Services), func(s Service) bool { return !slices.Contains(o.services, s.Name) })
	if err := p.setUp(ctx, dialer, log, o.setup()); err != nil {
		return unlessTold(ctx, err)
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	for _, service := range selected {
		err := s.start(telemetry.WithService(ctx, service.Name), service)
		if errors.Is(err, errEnded) {
			return nil // stopping it tells why
		}
		if err != nil {
			return unlessTold(ctx, err)
		}
	}
	s.announce("NATS", dialer.address())
	s.announce("Data", o.Data)
	if err := s.printReady(p.Stdout, began); err != nil {
		return err
	}
	s.wait(ctx)
	return nil
}

// flushTimeout bounds how long the end of the program waits for a collector to take
// the last spans, metrics and log lines.
const flushTimeout = 5 * time.Second

// unlessTold drops an error that comes from being told to stop before everything was
// up: that is no failure.
func unlessTold(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// setUpTimeout bounds the preparation of NATS: some dozens of small requests.
const setUpTimeout = 30 * time.Second

func (p Program) setUp(ctx context.Context, d *dialer, log *slog.Logger, what Setup) error {
	nc, err := d.dial(p.Name, "setup")
	if err != nil {
		return err
	}
	defer nc.Close()
	if p.Setup == nil {
		return nil
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream on %s: %w", d.address(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	err = p.Setup(ctx, js, log, what)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("JetStream is not enabled on %s, or not for this account", d.address())
	}
	return err
}

// oneLine is for people at a terminal: joined errors and whatever else holds line
// breaks become one line.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
