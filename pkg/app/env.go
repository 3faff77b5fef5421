package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/bus"
	"sluice/pkg/config"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
)

// Env is what a service gets from the process it runs in.
type Env struct {
	Service   string // its name
	Version   string // the program's
	NATS      *nats.Conn
	JetStream jetstream.JetStream // on NATS
	Caller    *endpoint.Caller    // on NATS; what nobody asks for, the service itself does
	Log       *slog.Logger        // with the service's name on every line
	DataDir   string              // for files of the service's own; it may not exist yet
	HTTPAddr  string              // where the gateway shall listen
	Discovery discovery.Config    // for those who look for services on NATS
	// Verify returns whom a token belongs to, or the error to answer with. It is for
	// [endpoint.ServiceConfig], and for the gateway.
	Verify func(ctx context.Context, token string) (auth.Identity, error)
	// SyncAlways is --sync always: the server syncs each write before it acknowledges
	// it. With a server elsewhere it is the operator's word for how that is set.
	SyncAlways bool

	service *service
}

// Group returns g as the configuration has it: [groups.<name>] and [routing.<name>] in
// the file, or SLUICE_GROUPS_<NAME>_<SETTING> in the environment. The consumer that runs
// it follows the configuration when that is reloaded: see [bus.Consumer.Tune].
func (e Env) Group(g bus.Group) bus.Group { return e.service.supervisor.configured().group(g) }

// SettingsOf returns the settings of the service as the configuration has them. It panics
// when they are no T: T is the type of [Service].Settings.
func SettingsOf[T any](e Env) T {
	return config.PartOf[T](e.service.supervisor.configured().parts, e.Service)
}

// OnReload has f called with the settings of the service whenever the configuration was
// reloaded: f sees to those that may change while the service runs, whose fields have the
// tag reload:"true", and leaves the others alone. It is called once at a time, and holds up
// the reload. Call OnReload before [Env.Run].
func OnReload[T any](e Env, f func(T)) {
	e.service.onReload(func(c *configuration) { f(config.PartOf[T](c.parts, e.Service)) })
}

// Connect returns one more connection, named after the service and the purpose, that
// comes back by itself when it is lost. The program closes it after the service has
// stopped; closing or draining it earlier is fine.
func (e Env) Connect(purpose string) (*nats.Conn, error) {
	return e.service.supervisor.dialer.dial(e.Service, purpose)
}

// Announce adds a line such as "Mail  ./data/mail" to what the program prints once
// everything is ready. It may be called until [Env.Run] has started all parts.
func (e Env) Announce(key, value string) { e.service.supervisor.announce(key, value) }

// Health asks every part of this service that has a Health() error method, and the
// connection. The error names each trouble; nil means none. It fits
// [endpoint.ServiceConfig] as a check.
func (e Env) Health() error { return e.service.health() }

// Ready asks all services of the process for their health, and fails until the last
// of them has started.
func (e Env) Ready(context.Context) error { return e.service.supervisor.ready() }

// Run starts the parts in order, reports the service ready, waits until ctx is done
// and stops the parts in reverse order, within the time the program has for
// draining. When a part does not start, those before it are stopped and its error is
// returned. A service calls Run once.
func (e Env) Run(ctx context.Context, parts ...Part) error {
	// Parts outlive ctx: they end by Stop, not by cancellation.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for i, part := range parts {
		if err := e.start(ctx, life, part); err != nil {
			return errors.Join(err, e.stop(ctx, parts[:i]))
		}
	}
	e.service.reportReady()
	<-ctx.Done()
	return e.stop(ctx, parts)
}

// start passes on ctx's end as long as the part is starting, and no longer.
func (e Env) start(ctx, life context.Context, part Part) error {
	life, cancel := context.WithCancelCause(life)
	unlink := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer unlink()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := part.Start(life); err != nil {
		return err
	}
	e.service.add(part)
	return nil
}

func (e Env) stop(ctx context.Context, parts []Part) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), e.service.supervisor.stopBy())
	defer cancel()
	var errs []error
	for _, part := range slices.Backward(parts) {
		if err := part.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop: %w", err))
		}
	}
	return errors.Join(errs...)
}
