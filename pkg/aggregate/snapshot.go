package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/go-json-experiment/json"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
)

// SnapshotConfig says how often and in what form snapshots are taken.
type SnapshotConfig struct {
	// Every is after how many events of an aggregate its state is written. Default 24:
	// up to then a load takes two or three round trips anyway.
	Every uint64
	// Version is of the fold. Raise it when apply makes another state of the same
	// events; a state whose Go type changed is noticed by itself. Default 0.
	Version int
	// Log takes what goes wrong in the background. Default: nothing is logged.
	Log *slog.Logger
}

// Snapshots writes the states of long histories to a KV bucket, in the background,
// and loads begin there. They hold nothing that the history does not: without them
// loads are slower and that is all. Make it with [Aggregates.Snapshots]; it is a part
// to start before its aggregates are used and to stop after.
//
// A snapshot expects the revision of its key that this process saw, so one that was
// taken of an aggregate before it was erased does not come back.
type Snapshots[S any] struct {
	aggregates *Aggregates[S]
	name       string
	cfg        SnapshotConfig
	shape      string
	bucket     jetstream.KeyValue
	revisions  *lru.Cache[string, uint64] // of the keys, as this process saw them

	queue  chan snapshotJob[S]
	cancel context.CancelFunc
	done   sync.WaitGroup
}

type snapshotJob[S any] struct {
	id   string
	root *root[S]
}

// snapshot is the form in the bucket.
type snapshot[S any] struct {
	Shape    string `json:"shape"`
	Version  uint64 `json:"version"`
	Sequence uint64 `json:"sequence"`
	State    S      `json:"state"`
	Marks    []mark `json:"marks,omitempty"`
}

// snapshotQueue bounds how many snapshots wait to be written; more are not taken.
const snapshotQueue = 64

// Snapshots returns the snapshots of a in the bucket of that name, which must exist
// when they are started. S must survive JSON.
func (a *Aggregates[S]) Snapshots(bucket string, cfg SnapshotConfig) *Snapshots[S] {
	if cfg.Every == 0 {
		cfg.Every = 24
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	revisions, err := lru.New[string, uint64](cacheSize)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Snapshots[S]{
		aggregates: a, name: bucket, cfg: cfg, shape: shapeOf[S](cfg.Version),
		revisions: revisions, queue: make(chan snapshotJob[S], snapshotQueue),
	}
}

// Start opens the bucket; from then on loads begin at snapshots and appends lead to
// new ones.
func (s *Snapshots[S]) Start(ctx context.Context) error {
	bucket, err := s.aggregates.store.JetStream().KeyValue(ctx, s.name)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", s.name, err)
	}
	s.bucket = bucket
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // G118: Stop calls it
	s.done.Go(func() { s.write(ctx) })
	s.aggregates.snapshots.Store(s)
	return nil
}

// Stop takes no more snapshots and abandons those that are not written yet.
func (s *Snapshots[S]) Stop(context.Context) error {
	s.aggregates.snapshots.Store(nil)
	s.cancel()
	s.done.Wait()
	return nil
}

// consider takes a snapshot of r when it has passed a multiple of Every since version.
func (s *Snapshots[S]) consider(id string, version uint64, r *root[S]) {
	if version/s.cfg.Every == r.tail.Version/s.cfg.Every {
		return
	}
	select {
	case s.queue <- snapshotJob[S]{id, r}:
	default: // the next multiple will do
		s.aggregates.meters.snapshot(context.Background(), notDropped)
	}
}

// read returns the aggregate as its snapshot has it, or as nothing when there is none
// or it is of another shape.
func (s *Snapshots[S]) read(ctx context.Context, id string) (r *root[S], err error) {
	defer rescue("state", &err)
	entry, err := s.bucket.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		s.aggregates.meters.fromSnapshot(ctx, false)
		return &root[S]{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot of %s: %w", id, err)
	}
	s.revisions.Add(id, entry.Revision())
	var kept snapshot[S]
	if err := json.Unmarshal(entry.Value(), &kept); err != nil || kept.Shape != s.shape {
		s.aggregates.meters.fromSnapshot(ctx, false)
		return &root[S]{}, nil // what cannot be read is of another shape
	}
	s.aggregates.meters.fromSnapshot(ctx, true)
	return &root[S]{
		state: kept.State, marks: kept.Marks,
		tail: eventstore.Tail{Version: kept.Version, Sequence: kept.Sequence},
	}, nil
}

func (s *Snapshots[S]) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-s.queue:
			if err := s.save(ctx, job); err != nil && ctx.Err() == nil {
				s.aggregates.meters.snapshot(ctx, notOther)
				s.cfg.Log.WarnContext(ctx, "snapshot not written", "bucket", s.name, "id", job.id, "error", err)
			}
		}
	}
}

func (s *Snapshots[S]) save(ctx context.Context, job snapshotJob[S]) (err error) {
	defer rescue("state", &err)
	tail := job.root.tail
	value, err := json.Marshal(snapshot[S]{
		Shape: s.shape, Version: tail.Version, Sequence: tail.Sequence, State: job.root.state, Marks: job.root.marks,
	}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	seen, _ := s.revisions.Get(job.id)
	revision, err := s.bucket.Update(ctx, job.id, value, seen)
	if isConflict(err) {
		// Somebody else wrote or removed it. What this process knows begins anew.
		s.aggregates.meters.snapshot(ctx, notConflict)
		s.revisions.Remove(job.id)
		s.aggregates.cache.forget(job.id)
		return nil
	}
	if err != nil {
		return err
	}
	s.revisions.Add(job.id, revision)
	s.aggregates.meters.snapshot(ctx, "")
	return nil
}

func isConflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
