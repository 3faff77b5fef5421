package projection

import (
	"context"

	"sluice/pkg/eventstore"
)

// replaced returns the messages of the bucket whose values a write of keys replaces,
// when they are to be erased. It makes the revision of every key known, so that the
// batch is refused when another message lies there.
func (w *keyValueWriter) replaced(ctx context.Context, keys []string, before []prior) ([]uint64, error) {
	if !w.cfg.Erases {
		return nil, nil
	}
	var sequences []uint64
	for i, key := range keys {
		if !before[i].known {
			m, err := w.bucket.read(ctx, key, leader)
			if err != nil {
				return nil, err
			}
			before[i] = prior{known: true, live: m.live, sequence: m.sequence}
		}
		if before[i].live {
			sequences = append(sequences, before[i].sequence)
		}
	}
	return sequences, nil
}

// eraser is a model whose steps replace values that are to be erased after them.
type eraser interface {
	// erase overwrites what the step that led to at has replaced. It may be repeated.
	erase(ctx context.Context, at checkpoint) error
}

// erase overwrites what the last batch replaced. The checkpoint that came with the batch
// names it, and no batch follows before it is done, so a crash loses none of it: the
// bucket keeps two messages a key. Who opens the model next does it again, and who
// stands by while the checkpoint stays where it is.
func (m *keyValue) erase(ctx context.Context, at checkpoint) error {
	for _, sequence := range at.Replaced {
		if err := eventstore.Overwrite(ctx, m.bucket.js, m.bucket.name, sequence); err != nil {
			return err
		}
	}
	return nil
}
