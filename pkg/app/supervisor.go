package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/telemetry"
)

// supervisor starts services one after another and stops them in reverse.
type supervisor struct {
	program Program
	options options
	dialer  *dialer
	log     *slog.Logger
	levels  *telemetry.Levels
	stopBy  func() time.Time // the clock of draining starts when it is first asked
	ended   chan struct{}    // gets a value when a service has ended, asked or not

	mu         sync.Mutex
	current    *configuration // as it is now
	services   []*service
	complete   bool // all are started
	announced  []announcement
	announceTo int // width of the longest key
}

type announcement struct{ key, value string }

// service is one service in progress.
type service struct {
	name       string
	supervisor *supervisor
	nc         *nats.Conn
	cancel     context.CancelFunc
	started    chan struct{} // closed when all parts are started
	done       chan struct{} // closed when Run has returned, after err is set
	err        error

	mu      sync.Mutex
	parts   []Part
	sets    []policed
	reloads []func(*configuration)
}

func newSupervisor(p Program, o options, d *dialer, log *slog.Logger) *supervisor {
	return &supervisor{
		program: p, options: o, dialer: d, log: log, current: &o.configuration,
		stopBy: sync.OnceValue(func() time.Time { return time.Now().Add(p.StopTimeout) }),
		ended:  make(chan struct{}, len(p.Services)),
	}
}

// departTimeout bounds taking a service's key away.
const departTimeout = 2 * time.Second

// errEnded says that a service has returned although nobody has told it to stop.
var errEnded = errors.New("ended by itself")

// start returns when the service is ready, or with the reason why it is not.
func (s *supervisor) start(ctx context.Context, what Service) error {
	nc, err := s.dialer.dial(what.Name, "main")
	if err != nil {
		return fmt.Errorf("%s: %w", what.Name, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("%s: JetStream: %w", what.Name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	one := &service{
		name: what.Name, supervisor: s, nc: nc, cancel: stop,
		started: make(chan struct{}), done: make(chan struct{}),
	}
	s.mu.Lock()
	s.services = append(s.services, one)
	s.mu.Unlock()
	who := newProof(js, what.Name, s.log.With("service", what.Name))
	env := Env{
		Service: what.Name, Version: s.program.Version,
		NATS: nc, JetStream: js, Caller: endpoint.NewCaller(nc, endpoint.CallerConfig{Token: who.tokens.Token}), Verify: who.verify,
		Log:     s.log.With("service", what.Name),
		DataDir: s.options.Data, HTTPAddr: s.options.HTTP.Address, Discovery: s.options.Discovery,
		SyncAlways: s.options.NATS.Sync.always,
		service:    one,
	}
	if err := who.verifier.Start(ctx); err != nil {
		return fmt.Errorf("%s: %w", what.Name, err)
	}
	go func() {
		one.err = what.Run(run, env)
		s.depart(run, env.Log, who)
		close(one.done)
		s.ended <- struct{}{}
	}()
	select {
	case <-one.started:
		return nil
	case <-one.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// depart ends what proves who a service is. A key that stays behind goes by itself.
func (s *supervisor) depart(ctx context.Context, log *slog.Logger, who proof) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), departTimeout)
	defer cancel()
	if err := who.stop(ctx); err != nil {
		log.WarnContext(ctx, "the service's key was not taken away", "error", err)
	}
}

// wait returns when ctx is done or a service has ended by itself. Meanwhile it reloads the
// configuration when it is told to.
func (s *supervisor) wait(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ended:
			return
		case <-s.program.Reload:
			s.reload(ctx)
		}
	}
}

// stop stops the services in the reverse order of their start, each completely
// before the next. What it returns includes why a service had ended before.
func (s *supervisor) stop() error {
	s.mu.Lock()
	services := s.services
	s.complete = false
	s.mu.Unlock()
	var errs []error
	for _, one := range slices.Backward(services) {
		if err := one.stop(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one.name, err))
		}
	}
	return errors.Join(errs...)
}

func (one *service) stop() error {
	select {
	case <-one.done:
		one.cancel()
		if one.err == nil {
			return errEnded
		}
		return one.err
	default:
	}
	one.cancel()
	<-one.done
	if errors.Is(one.err, context.Canceled) {
		return nil // interrupted while it was starting
	}
	return one.err
}

func (one *service) reportReady() { close(one.started) }

func (one *service) add(p Part) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.parts = append(one.parts, p)
}

func (one *service) health() error {
	var errs []error
	if !one.nc.IsConnected() {
		errs = append(errs, errors.New("not connected to NATS"))
	}
	one.mu.Lock()
	parts := one.parts
	one.mu.Unlock()
	for _, p := range parts {
		if h, ok := p.(interface{ Health() error }); ok {
			errs = append(errs, h.Health())
		}
	}
	return errors.Join(errs...)
}

func (s *supervisor) ready() error {
	s.mu.Lock()
	services, complete := s.services, s.complete
	s.mu.Unlock()
	var errs []error
	if !complete {
		errs = append(errs, errors.New("not all services are running"))
	}
	for _, one := range services {
		if err := one.health(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *supervisor) announce(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced = append(s.announced, announcement{key, value})
	s.announceTo = max(s.announceTo, len(key))
}

// printReady says where things are. From here on the process is ready.
func (s *supervisor) printReady(w io.Writer, began time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete = true
	var b strings.Builder
	for _, a := range s.announced {
		fmt.Fprintf(&b, "%-*s  %s\n", s.announceTo, a.key, a.value)
	}
	fmt.Fprintf(&b, "ready in %s\n", time.Since(began).Round(time.Millisecond))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print where things are: %w", err)
	}
	return nil
}
