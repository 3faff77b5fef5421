package aggregate

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
)

// Erase removes what there was of aggregate id before the <entity>.erased event that
// a command has appended: its snapshot, then its history, see
// [eventstore.Store.Erase]. It may be repeated, and must be until it succeeds.
//
// A snapshot that a later one replaced is gone, but its bytes stay on disk until the
// server compacts the bucket: keep no snapshots of states that hold personal data.
func (a *Aggregates[S]) Erase(ctx context.Context, id string) error {
	a.cache.forget(id)
	if s := a.snapshots.Load(); s != nil {
		if err := s.erase(ctx, id); err != nil {
			return fmt.Errorf("erase snapshot of %s: %w", id, err)
		}
	}
	return a.store.Erase(ctx, id)
}

// noSnapshot takes the place of an erased one, so that a process which expects none
// does not write an old state now. It has no shape, so it is not read.
var noSnapshot = []byte("{}")

func (s *Snapshots[S]) erase(ctx context.Context, id string) error {
	for {
		_, err := s.bucket.Create(ctx, id, noSnapshot)
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		entry, err := s.bucket.Get(ctx, id)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil || bytes.Equal(entry.Value(), noSnapshot) {
			return err
		}
		if err := eventstore.Overwrite(ctx, s.aggregates.store.JetStream(), "KV_"+s.name, entry.Revision()); err != nil {
			return err
		}
	}
}
