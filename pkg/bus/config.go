package bus

import (
	"context"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"sluice/pkg/event"
)

// Config is what a consumer needs from its service. The zero value works.
type Config struct {
	// Log takes retries and dead letters. Default: nothing is logged.
	Log *slog.Logger
	// Read decodes a message for typed handlers and tells whether it is genuine; what
	// is not genuine is acknowledged and forgotten, because the owner of the stream
	// takes care of it. An error is retried like a handler's. For a history stream it
	// is the Read method of an eventstore Reader. Default: [event.Decode], and what it
	// refuses becomes a dead letter; so does a due timer under another subject than its
	// own.
	Read func(ctx context.Context, msg jetstream.Msg) (e event.Event, genuine bool, err error)
	// Key names the lane of a message: one key is handled in order, one at a time. It
	// is asked for each delivery and must be quick.
	// Default: the third token of a subject that has three (the aggregate's id), else
	// the subject.
	Key func(Message) string
	// Erases overwrites each message on disk once it is handled or its dead letter is
	// stored: for a work queue that personal data passes through, since what the server
	// removes by itself stays on disk until it compacts the stream.
	Erases bool
	// Meters take what the group does and how far behind it is, in OpenTelemetry's way;
	// package telemetry has the names. Default: the process's, which by default is
	// nobody's.
	Meters metric.MeterProvider
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meters == nil {
		c.Meters = otel.GetMeterProvider()
	}
	if c.Key == nil {
		c.Key = aggregateOf
	}
	return c
}

func aggregateOf(m Message) string {
	if strings.Count(m.Subject, ".") == 2 {
		return m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	}
	return m.Subject
}
