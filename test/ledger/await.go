package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// AwaitNotifications returns once each of these is recorded.
func AwaitNotifications(ctx context.Context, t testing.TB, js jetstream.JetStream, expected map[string]Letter) {
	t.Helper()
	missing := make(map[string]bool, len(expected))
	for id := range expected {
		missing[id] = true
	}
	consumer, err := js.OrderedConsumer(ctx, "NOTIFICATIONS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"notification.*.*"}})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for len(missing) > 0 {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("%d of %d notifications are missing: %v", len(missing), len(expected), err)
		}
		delete(missing, EventOf(t, msg).ID)
	}
}

// AwaitSettled returns once a group has acknowledged all there is for it. Nobody
// tells, so it looks.
func AwaitSettled(ctx context.Context, t testing.TB, js jetstream.JetStream, stream, name string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	consumer, err := js.Consumer(ctx, stream, name)
	if err != nil {
		t.Fatal(err)
	}
	for {
		info, err := consumer.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("group %s: %d to deliver, %d to acknowledge", name, info.NumPending, info.NumAckPending)
		}
	}
}
