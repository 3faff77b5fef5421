package projection

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
)

// maxPartBytes bounds the writes in one message of a split event, unless one is larger.
const maxPartBytes = 256 << 10

// stagedWrite is a write of a split event as it is written down.
type stagedWrite struct {
	Key    string `json:"key"`
	Value  []byte `json:"value,omitempty"`
	Remove bool   `json:"remove,omitempty"`
}

// split stores a step that one batch can't hold.
func (w *keyValueWriter) split(ctx context.Context, s *sealed) error {
	all := make([]stagedWrite, len(s.order))
	for i, key := range s.order {
		all[i] = stagedWrite{Key: key, Value: s.writes[key].value, Remove: s.writes[key].remove}
	}
	if err := w.stage(ctx, all, s.next); err != nil {
		return err
	}
	return w.unfold(ctx, all, s.revise)
}

// stage writes down all writes of a step, in one batch.
func (w *keyValueWriter) stage(ctx context.Context, all []stagedWrite, next checkpoint) error {
	var keys []string
	writes := make(map[string]write)
	for len(all) > 0 {
		n, bytes := 0, 0
		for n < len(all) && (n == 0 || bytes+all[n].size() <= maxPartBytes) {
			bytes += all[n].size()
			n++
		}
		data, err := json.Marshal(all[:n])
		if err != nil {
			return fmt.Errorf("stage event %d: %w", next.Sequence, err)
		}
		key := stagedKey(w.history, len(keys))
		keys, writes[key] = append(keys, key), write{value: data}
		all = all[n:]
	}
	next.Split = &split{Sequence: next.Sequence, Parts: len(keys)}
	next.Sequence = w.at.Sequence
	_, err := w.publish(ctx, keys, writes, make([]prior, len(keys)), next)
	return err
}

func (s stagedWrite) size() int { return len(s.Key) + len(s.Value) }

// finish applies what a crash has left of a step that was written down.
func (w *keyValueWriter) finish(ctx context.Context) error {
	if w.at.Split == nil {
		return nil
	}
	var all []stagedWrite
	for i := range w.at.Split.Parts {
		m, err := w.bucket.read(ctx, stagedKey(w.history, i), leader)
		if err != nil {
			return err
		}
		var part []stagedWrite
		if err := json.Unmarshal(m.value, &part); err != nil {
			return fmt.Errorf("%w: part %d of split event %d: %w", ErrCheckpoint, i, w.at.Split.Sequence, err)
		}
		all = append(all, part...)
	}
	return w.unfold(ctx, all, func(uint64, int) {})
}

// unfold applies the rest of the writes that were written down, batch by batch, and
// tells the revisions.
func (w *keyValueWriter) unfold(ctx context.Context, all []stagedWrite, revise func(sequence uint64, keys int)) error {
	for w.at.Split.Offset < len(all) {
		rest := all[w.at.Split.Offset:]
		var (
			keys   []string
			writes = make(map[string]write)
			bytes  int
		)
		for _, m := range rest[:min(len(rest), maxWrites)] {
			keys, writes[m.Key] = append(keys, m.Key), write{value: m.Value, remove: m.Remove}
			if bytes += len(m.Value); bytes > maxBatchBytes {
				break
			}
		}
		next, progress := w.at, *w.at.Split
		progress.Offset += len(keys)
		next.Split = &progress
		sequence, err := w.publish(ctx, keys, writes, make([]prior, len(keys)), next)
		if err != nil {
			return err
		}
		revise(sequence, len(keys))
	}
	next, writes := w.at, make(map[string]write)
	next.Sequence, next.Split = w.at.Split.Sequence, nil
	parts := make([]string, w.at.Split.Parts)
	for i := range parts {
		parts[i] = stagedKey(w.history, i)
		writes[parts[i]] = write{remove: true}
	}
	_, err := w.publish(ctx, parts, writes, make([]prior, len(parts)), next)
	return err
}
