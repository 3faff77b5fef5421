package projection

import (
	"context"

	"sluice/pkg/eventstore"
)

// replaced returns the messages of the bucket whose values a write of keys replaces,
// when they are to be erased. It makes the revision of every key known, so that the
// batch is refused when another message lies there.
func (s *session) replaced(ctx context.Context, keys []string) ([]uint64, error) {
	if !s.cfg.Erases {
		return nil, nil
	}
	var sequences []uint64
	for _, key := range keys {
		before, ok := s.cache.Peek(key)
		if !ok {
			var err error
			if before, err = s.bucket.get(ctx, key, leader); err != nil {
				return nil, err
			}
			s.cache.Add(key, before)
		}
		if before.live {
			sequences = append(sequences, before.sequence)
		}
	}
	return sequences, nil
}

// eraseReplaced overwrites what the last batch replaced. The checkpoint that came
// with the batch names it, and no batch follows before it is done, so a crash loses
// none of it: the bucket keeps two messages a key.
func (s *session) eraseReplaced(ctx context.Context) error {
	for _, sequence := range s.at.Replaced {
		if err := eventstore.Overwrite(ctx, s.bucket.js, s.bucket.name, sequence); err != nil {
			return err
		}
	}
	return nil
}
