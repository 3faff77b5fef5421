package telemetry_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// A request arrives with a trace; every line about it says so, and what is sent on
// carries the trace further.
func Example() {
	log := telemetry.NewLogger(os.Stdout, "text", slog.LevelInfo)
	arrived := nats.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}}

	ctx := telemetry.Extract(context.Background(), arrived)
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: "c-1"})
	timeless(log).InfoContext(ctx, "order created", "order_id", "o-1")

	sent := nats.Header{}
	telemetry.Inject(ctx, sent)
	fmt.Println(sent["traceparent"][0])
	// Output:
	// level=INFO msg="order created" order_id=o-1 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 correlation_id=c-1
	// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00
}

// timeless leaves the time out, so that the example has one output.
func timeless(log *slog.Logger) *slog.Logger { return slog.New(noTime{log.Handler()}) }

type noTime struct{ slog.Handler }

func (h noTime) Handle(ctx context.Context, r slog.Record) error {
	r.Time = time.Time{}
	return h.Handler.Handle(ctx, r)
}
