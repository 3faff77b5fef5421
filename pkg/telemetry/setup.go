package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"sluice/pkg/event"
)

// Config is what a program says of itself. The zero value exports nothing and logs
// nothing.
type Config struct {
	Name     string   // of the program
	Version  string   // of the program
	Services []string // that run in this process

	// Getenv reads OpenTelemetry's settings. Whether something is exported is asked
	// here; how, OpenTelemetry's exporters read from the process's environment
	// themselves. Default: nothing is set.
	Getenv func(string) string

	Log       io.Writer // where log lines go, exported or not; default: nowhere
	LogFormat string    // "json", or else text
	Levels    *Levels   // of log lines, written and exported; default: info

	instance string // service.instance.id
}

// Telemetry is what [Setup] has set up.
type Telemetry struct {
	// Log writes to [Config.Log], and to the collector where logs are exported.
	Log *slog.Logger

	local *slog.Logger // does not export: for trouble with exporting
	stop  []func(context.Context) error
}

// Setup installs the process-wide providers of OpenTelemetry as its environment
// variables say; the package's documentation has them. Whatever is wrong with them is
// logged, and keeps no program from running. Call Shutdown when the program ends.
func Setup(ctx context.Context, c Config) *Telemetry {
	c = c.withDefaults()
	t := &Telemetry{local: NewLogger(c.Log, c.LogFormat, c.Levels)}
	t.Log = t.local
	otel.SetLogger(logr.FromSlogHandler(t.local.Handler()))
	otel.SetErrorHandler(&complaints{log: t.local})
	p, unknown := propagator(c.Getenv("OTEL_PROPAGATORS"))
	if len(unknown) > 0 {
		t.local.WarnContext(ctx, "propagators are not supported", "names", strings.Join(unknown, ","))
	}
	otel.SetTextMapPropagator(p)
	t.trace(ctx, c)
	t.meter(ctx, c)
	t.exportLogs(ctx, c)
	return t
}

func (c Config) withDefaults() Config {
	if c.Getenv == nil {
		c.Getenv = func(string) string { return "" }
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Levels == nil {
		c.Levels = new(Levels)
	}
	c.instance = event.NewID()
	return c
}

func (t *Telemetry) trace(ctx context.Context, c Config) {
	tracing, err := newTracing(ctx, c, t.spanExporter(ctx, c))
	t.trouble(ctx, err)
	otel.SetTracerProvider(tracing)
	t.stop = append(t.stop, tracing.shutdown)
}

func (t *Telemetry) meter(ctx context.Context, c Config) {
	if c.disabled() {
		otel.SetMeterProvider(noopmetric.NewMeterProvider())
		return
	}
	metering, err := newMetering(ctx, c, t.metricReader(ctx, c), t.local)
	t.trouble(ctx, err)
	if metering == nil {
		return
	}
	otel.SetMeterProvider(metering)
	t.stop = append(t.stop, func(ctx context.Context) error {
		if err := metering.Shutdown(ctx); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		return nil
	})
}

func (t *Telemetry) exportLogs(ctx context.Context, c Config) {
	exporter := t.logExporter(ctx, c)
	if exporter == nil {
		return
	}
	process, err := describe(ctx, c, "")
	t.trouble(ctx, err)
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(process), sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	t.Log = slog.New(slog.NewMultiHandler(t.local.Handler(),
		newHandler(otelslog.NewHandler(scope, otelslog.WithLoggerProvider(provider)), c.Levels, correlation)))
	t.stop = append(t.stop, func(ctx context.Context) error {
		if err := provider.Shutdown(ctx); err != nil {
			return fmt.Errorf("logs: %w", err)
		}
		return nil
	})
}

func (t *Telemetry) trouble(ctx context.Context, err error) {
	if err != nil {
		t.local.WarnContext(ctx, "trouble with telemetry", "error", err)
	}
}

// Shutdown exports what is still in the queues, until ctx ends at the latest. From then
// on nothing is exported, and spans and log lines still have their ids. A collector that
// does not take it is no error here: the log has it.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	errs := make([]error, len(t.stop))
	var all sync.WaitGroup
	for i, stop := range t.stop {
		all.Go(func() {
			err := stop(ctx)
			if _, told := errors.AsType[*toldError](err); !told {
				errs[i] = err
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
