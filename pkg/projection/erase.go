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

// eraseReplaced overwrites what the last batch replaced. The checkpoint that came
// with the batch names it, and no batch follows before it is done, so a crash loses
// none of it: the bucket keeps two messages a key.
func (w *keyValueWriter) eraseReplaced(ctx context.Context) error {
	for _, sequence := range w.at.Replaced {
		if err := eventstore.Overwrite(ctx, w.bucket.js, w.bucket.name, sequence); err != nil {
			return err
		}
	}
	return nil
}
