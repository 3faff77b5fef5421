package streams_test

import (
	"testing"

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
