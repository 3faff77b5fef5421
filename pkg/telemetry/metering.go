package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

const (
	scrapeTimeout = 10 * time.Second
	scrapesAtOnce = 3
)

// metering is the process-wide provider of meters. It can be scraped, and exports when
// it is asked to.
type metering struct {
	*sdkmetric.MeterProvider

	scrape http.Handler
}

// newMetering returns meters that can be scraped, and that export is read from unless it
// is nil.
func newMetering(ctx context.Context, c Config, export sdkmetric.Reader, log *slog.Logger) (*metering, error) {
	registry := prometheus.NewRegistry()
	scraped, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics for Prometheus: %w", err)
	}
	process, err := describe(ctx, c, "")
	options := []sdkmetric.Option{sdkmetric.WithResource(process), sdkmetric.WithReader(scraped)}
	if export != nil {
		options = append(options, sdkmetric.WithReader(export))
	}
	m := &metering{MeterProvider: sdkmetric.NewMeterProvider(options...)}
	m.scrape = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTimeout, EnableOpenMetrics: true,
	})
	if started := runtime.Start(runtime.WithMeterProvider(m)); started != nil {
		err = errors.Join(err, fmt.Errorf("metrics of the Go runtime: %w", started))
	}
	return m, err
}

// MetricsHandler answers scrapes of the process's metrics in Prometheus' text format
// or in OpenMetrics, with the ids of traces as exemplars. Where [Setup] was not called,
// or OpenTelemetry is disabled, there are none, and it answers 404.
func MetricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		m, ok := otel.GetMeterProvider().(*metering)
		if !ok {
			http.NotFound(w, req)
			return
		}
		m.scrape.ServeHTTP(w, req)
	})
}
