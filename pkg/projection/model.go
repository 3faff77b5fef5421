package projection

import (
	"context"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
)

// model is where a [Runner] keeps what it folds: one kind of read model, in one place.
// The runner owns everything that does not depend on the place: the feed of events,
// the choice of what is folded, poison, parking, standing by, health and progress.
//
// An implementation owes: that a step (the folds between two seals, and the checkpoint
// they lead to) is stored as a whole or not at all, also when the process dies in the
// middle; that a step is refused with a [*refusedError] when the stored checkpoint is
// no longer the one that the step follows, which is what keeps two writers apart; and
// that errors which are not [ErrCheckpoint], a [*poisonError] or a [*refusedError]
// mean trouble that another try may get over.
type model interface {
	// check reports that the place is missing or unfit. It is asked once, at the start.
	check(ctx context.Context) error
	// checkpoint returns what is stored, never an older one; the zero checkpoint, but
	// for its revision, when there is none. What is stored and can't be understood is
	// [ErrCheckpoint], with its revision. The revision changes whenever the stored
	// checkpoint does.
	checkpoint(ctx context.Context) (checkpoint, error)
	// orphaned reports whether there are values although there is no checkpoint.
	orphaned(ctx context.Context) (bool, error)
	// open returns a writer that goes on from a verified checkpoint, after finishing
	// whatever a crash has left half done there.
	open(ctx context.Context, at checkpoint, from source) (writer, error)
	// watch calls moved, from another goroutine, with the positions that others reach,
	// until stop; lost, when it can't go on. A place that can't tell may leave it: the
	// runner also looks at the checkpoint every [Config.StandBy].
	watch(ctx context.Context, moved func(sequence uint64), lost func(error)) (stop func(), err error)
	// connections are those whose loss ends a session, beside the history's.
	connections() []*nats.Conn
}

// writer folds and stores for one session, which no other session overlaps in this
// process. All methods are called by one goroutine, but for store, which runs beside
// fold; there is no second seal before the store of the first has returned.
type writer interface {
	// fold adds e to the open step. taken is false when there is no room for it in this
	// step: nothing of it was kept, and the same event comes again after a seal; a step
	// with nothing in it has room for every event. What is wrong with the event or its
	// fold is a [*poisonError], and leaves the step as it was before.
	fold(ctx context.Context, e event.Event, data event.Data) (taken bool, err error)
	// seal ends the open step, which leads to next, and begins another.
	seal(ctx context.Context, next checkpoint) error
	// store stores the sealed step. It may have nothing left to do.
	store(ctx context.Context) error
	// stored tells the writer that store has returned nil, and returns the checkpoint
	// it is at now.
	stored() checkpoint
	// close gives up the step that is open. Store is not running.
	close()
}
