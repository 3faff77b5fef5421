package projection_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"sluice/pkg/natstest"
)

// Random histories, with runners started, stopped and racing at random, give what a
// fold in memory gives.
func TestModelEqualsFoldInMemory(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	js, other := srv.JetStream(t), srv.JetStream(t)
	w := newWorld(t, js)
	rapid.Check(t, func(r *rapid.T) {
		w.wipe(r)
		var running []follower
		defer func() {
			for _, f := range running {
				f.stop(r)
			}
		}()
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		owners := rapid.SampledFrom([]string{"x", "y"})
		r.Repeat(map[string]func(*rapid.T){
			"add":    func(r *rapid.T) { w.write(r, ids.Draw(r, "id"), added{owners.Draw(r, "owner"), 1}) },
			"move":   func(r *rapid.T) { w.write(r, ids.Draw(r, "id"), moved{owners.Draw(r, "owner")}) },
			"remove": func(r *rapid.T) { w.write(r, ids.Draw(r, "id"), removed{}) },
			"start": func(r *rapid.T) {
				if len(running) < 2 {
					connections := []jetstream.JetStream{js, other}
					running = append(running, follow(r, connections[len(running)], quick()))
				}
			},
			"stop": func(r *rapid.T) {
				if len(running) > 0 {
					running[len(running)-1].stop(r)
					running = running[:len(running)-1]
				}
			},
			"catch up": func(r *rapid.T) {
				for _, f := range running {
					f.catchUp(r)
				}
			},
		})
		if len(running) == 0 {
			running = append(running, follow(r, js, quick()))
		}
		w.write(r, "a", added{"x", 1})
		for _, f := range running {
			f.catchUp(r)
		}
		w.compare(r)
	})
}

// A restart goes on from the checkpoint, and the values show that no event was
// folded twice.
func TestRestartContinues(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	for round := range 5 {
		for i := range 100 {
			w.write(t, fmt.Sprintf("id%d", i%7), added{fmt.Sprintf("o%d", round), 1})
		}
		f := follow(t, w.js, quick())
		if round%2 == 0 {
			f.catchUp(t)
			w.compare(t)
		}
		f.stop(t)
	}
	f := follow(t, w.js, quick())
	defer f.stop(t)
	f.catchUp(t)
	w.compare(t)
}

// An event that writes thousands of keys is folded whole, also on top of itself.
func TestEventLargerThanABatch(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	w.write(t, "a", added{"x", 1})
	for range 3 {
		w.write(t, "big", spread{Keys: 1200, Amount: 2})
	}
	w.write(t, "a", added{"y", 1})
	f.catchUp(t)
	w.compare(t)
}
