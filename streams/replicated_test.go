package streams_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"sluice/pkg/natstest"
)

// TestReplicated: streams are created with as many replicas as asked for, those that have
// fewer get them, and nobody takes them away again.
func TestReplicated(t *testing.T) {
	t.Parallel()
	js := natstest.JetStream(t, natstest.Cluster(t, 3).Connect(t))
	mustReconcile(t, js, load(t, "user"))
	for _, step := range []struct{ asked, users, orders int }{{3, 3, 3}, {1, 3, 3}} {
		mustReconcile(t, js, load(t, "user", "order").Replicated(step.asked))
		for name, want := range map[string]int{"USERS": step.users, "KV_users": step.users, "ORDERS": step.orders, "DEADLETTERS": step.orders} {
			if got := streamConfig(t, js, name).Replicas; got != want {
				t.Errorf("%s has %d replicas after %d were asked for", name, got, step.asked)
			}
		}
	}
}

// TestReconcileWaitsForACluster: what a cluster cannot do now it is asked again, until ctx
// ends; what it will not do is an error at once.
func TestReconcileWaitsForACluster(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	var asked atomic.Int64
	answers := srv.Connect(t)
	if _, err := answers.Subscribe("$JS.API.STREAM.INFO.>", func(m *nats.Msg) {
		answer := `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`
		if asked.Add(1) == 3 {
			answer = `{"error":{"code":500,"err_code":1,"description":"never"}}`
		}
		if err := m.Respond([]byte(answer)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := answers.Flush(); err != nil {
		t.Fatal(err)
	}
	js, set := natstest.JetStream(t, srv.Connect(t)), load(t, "user")
	log := slog.New(slog.DiscardHandler)
	if err := set.Reconcile(t.Context(), js, log); err == nil || !contains(err, "never") || asked.Load() != 3 {
		t.Errorf("after %d times: %v", asked.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log = slog.New(slog.NewTextHandler(onWrite(cancel), nil)) // it says that it waits
	if err := set.Reconcile(ctx, js, log); err == nil || !contains(err, "temporarily unavailable") {
		t.Errorf("at the end of its time: %v", err)
	}
}

// onWrite is a writer that calls it.
type onWrite func()

func (f onWrite) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}
