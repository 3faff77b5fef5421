package telemetry

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// disabled tells whether OpenTelemetry is switched off.
func (c Config) disabled() bool { return strings.EqualFold(c.Getenv("OTEL_SDK_DISABLED"), "true") }

// exports tells whether a signal, such as TRACES, is to leave the process.
func (c Config) exports(signal string) bool {
	if c.disabled() {
		return false
	}
	if exporter := c.Getenv("OTEL_" + signal + "_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return c.otlp(signal, "ENDPOINT") != "" || c.otlp(signal, "PROTOCOL") != ""
}

// otlp returns a setting of OTLP, that of the signal first.
func (c Config) otlp(signal, setting string) string {
	if own := c.Getenv("OTEL_EXPORTER_OTLP_" + signal + "_" + setting); own != "" {
		return own
	}
	return c.Getenv("OTEL_EXPORTER_OTLP_" + setting)
}

// spanExporter returns nil when spans are not exported.
func (t *Telemetry) spanExporter(ctx context.Context, c Config) sdktrace.SpanExporter {
	if !c.exports("TRACES") {
		return nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		t.unexported(ctx, "traces", err)
		return nil
	}
	return watchedSpans{exporter, &outage{signal: "traces", log: t.local}}
}

// logExporter returns nil when logs are not exported.
func (t *Telemetry) logExporter(ctx context.Context, c Config) sdklog.Exporter {
	if !c.exports("LOGS") {
		return nil
	}
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		t.unexported(ctx, "logs", err)
		return nil
	}
	return watchedLogs{exporter, &outage{signal: "logs", log: t.local}}
}

// metricReader returns nil when metrics are not exported.
func (t *Telemetry) metricReader(ctx context.Context, c Config) sdkmetric.Reader {
	if !c.exports("METRICS") {
		return nil
	}
	reader, err := t.newMetricReader(ctx, c)
	if err != nil {
		t.unexported(ctx, "metrics", err)
		return nil
	}
	return reader
}

// newMetricReader makes the reader for OTLP itself, because that of autoexport does not
// tell when nothing arrives.
func (t *Telemetry) newMetricReader(ctx context.Context, c Config) (sdkmetric.Reader, error) {
	if name := c.Getenv("OTEL_METRICS_EXPORTER"); name != "" && name != "otlp" {
		return autoexport.NewMetricReader(ctx)
	}
	var (
		exporter sdkmetric.Exporter
		err      error
	)
	switch protocol := c.otlp("METRICS", "PROTOCOL"); protocol {
	case "grpc":
		exporter, err = otlpmetricgrpc.New(ctx)
	case "", "http/protobuf":
		exporter, err = otlpmetrichttp.New(ctx)
	default:
		err = fmt.Errorf("OTLP over %q: there are grpc and http/protobuf", protocol)
	}
	if err != nil {
		return nil, err
	}
	return sdkmetric.NewPeriodicReader(watchedMetrics{exporter, &outage{signal: "metrics", log: t.local}}), nil
}

func (t *Telemetry) unexported(ctx context.Context, signal string, err error) {
	t.local.WarnContext(ctx, "telemetry is not exported: its settings are not understood", "signal", signal, "error", err)
}
