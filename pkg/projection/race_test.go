package projection_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
	"sluice/pkg/projection"
)

// foldBlind writes the first value of a key without a look at what is there, and
// later ones on top: half of its writes say nothing about what they replace.
func foldBlind(tx *projection.Tx[value], e event.Event, _ event.Data) error {
	if e.Version == 1 {
		tx.Put(e.Subject, value{ID: e.Subject, Folds: 1})
		return nil
	}
	v, _, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	v.Folds++
	tx.Put(e.Subject, v)
	return nil
}

// A writer dies between its values and their checkpoint while another, who began
// before that, is in the middle of the same events: what the other writes then on top
// of values that it does not know of is refused.
func TestValuesWithoutCheckpointAreNotFoldedTwice(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	w.write(t, "q", added{"x", 1})
	written, died := make(chan struct{}), make(chan struct{})
	waiting := func(on <-chan struct{}, reached chan<- struct{}) func(tx *projection.Tx[value], e event.Event, data event.Data) error {
		var once sync.Once
		return func(tx *projection.Tx[value], e event.Event, data event.Data) error {
			if e.Subject == "p" {
				once.Do(func() {
					close(reached)
					<-on
				})
			}
			return foldBlind(tx, e, data)
		}
	}
	var doomed atomic.Bool
	cut := &cutter{cut: func(int64) (bool, bool) {
		if doomed.Load() {
			select {
			case <-died:
			default:
				close(died)
			}
		}
		return doomed.Load(), false
	}}
	ready, asleep := make(chan struct{}), make(chan struct{})
	f := followWith(t, connectCut(t, srv, cut, nats.NoReconnect()), quick(), waiting(written, ready))
	f.catchUp(t)
	w.write(t, "q", added{"x", 1}) // so that it has written before, and writes values singly
	f.catchUp(t)
	g := followWith(t, w.js, quick(), waiting(died, asleep))
	w.write(t, "p", added{"x", 1})
	w.write(t, "q", added{"x", 1})
	<-ready
	<-asleep
	doomed.Store(true)
	close(written)
	g.catchUp(t)
	if v, err := g.view.Get(t.Context(), "q"); err != nil || v.Folds != 3 {
		t.Errorf("%+v, %v, want 3 folds", v, err)
	}
	f.stop(t)
	g.stop(t)
}

// Two writers who each believe to be the only one, again and again, fold no event
// twice, also when their writes do not collide on a key.
func TestRaceOfBlindWrites(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	other := srv.JetStream(t)
	const rounds, events = 30, 12
	for round := range rounds {
		var writing sync.WaitGroup
		writing.Go(func() {
			for i := range events {
				w.write(t, fmt.Sprintf("r%d-%d", round, i/3), added{"x", 1})
			}
		})
		f := followWith(t, w.js, quick(), foldBlind)
		g := followWith(t, other, quick(), foldBlind)
		writing.Wait()
		f.catchUp(t)
		g.catchUp(t)
		f.stop(t)
		g.stop(t)
	}
	view := projection.KV(w.js, bucketName, foldBlind)
	for round := range rounds {
		for i := range events / 3 {
			if v, err := view.Get(t.Context(), fmt.Sprintf("r%d-%d", round, i)); err != nil || v.Folds != 3 {
				t.Errorf("%+v, %v, want 3 folds", v, err)
			}
		}
	}
}
