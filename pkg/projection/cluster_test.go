package projection_test

import (
	"fmt"
	"testing"

	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// On a replicated bucket batches, single values and two writers are as exact.
func TestReplicatedBucket(t *testing.T) {
	t.Parallel()
	cluster := natstest.Cluster(t, 3)
	js, other := cluster.JetStream(t), cluster.JetStream(t)
	history, bucket := eventstore.HistoryConfig(things), projection.BucketConfig(bucketName)
	history.Replicas, bucket.Replicas = 3, 3
	if _, err := js.CreateStream(t.Context(), history); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	w := &world{js: js, store: eventstore.New(js, things, registry)}
	w.forget()
	f, g := follow(t, js, quick()), follow(t, other, quick())
	for i := range 200 {
		w.write(t, fmt.Sprintf("id%d", i%5), added{"x", 1})
	}
	w.write(t, "big", spread{Keys: 1100, Amount: 1})
	w.write(t, "id1", moved{"y"})
	f.catchUp(t)
	g.catchUp(t)
	w.compare(t)
	f.stop(t)
	w.write(t, "id1", added{"y", 1})
	g.catchUp(t)
	w.compare(t)
	g.stop(t)
}
