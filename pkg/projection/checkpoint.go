package projection

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/timeline"
)

// checkpoint says how far a model has come in a stream. Everything up to Sequence
// is folded.
type checkpoint struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"` // when the stream's timeline began: another of the same name has another time
	Sequence uint64    `json:"sequence"`
	Split    *split    `json:"split,omitempty"`
	// Replaced are the bucket's messages that the last batch replaced and that are to
	// be overwritten; whoever goes on from here does it again.
	Replaced []uint64 `json:"replaced,omitempty"`
	Skipped  *Skipped `json:"skipped,omitempty"`

	revision uint64 // where it is kept; 0 when there is none yet
}

// maxReason bounds what a checkpoint says about an event.
const maxReason = 500

// with returns s and one more; s may be nil.
func (s *Skipped) with(i item, why error) *Skipped {
	next := Skipped{Events: 1, Sequence: i.sequence, Type: i.event.Type, Reason: why.Error()}
	next.Reason = strings.ToValidUTF8(next.Reason[:min(len(next.Reason), maxReason)], "")
	if s != nil {
		next.Events += s.Events
	}
	return &next
}

// split is an event, the one after the checkpoint's sequence that counts, whose
// writes do not fit one batch. They are written down in Parts messages; Offset of
// them are done.
type split struct {
	Sequence uint64 `json:"sequence"`
	Parts    int    `json:"parts"`
	Offset   int    `json:"offset"`
}

func checkpointKey(stream string) string { return "checkpoint." + stream }

func stagedKey(stream string, part int) string { return fmt.Sprintf("staged.%s.%d", stream, part) }

func decodeCheckpoint(m stored) (checkpoint, error) {
	at := checkpoint{revision: m.sequence}
	if !m.live {
		return at, nil
	}
	if err := json.Unmarshal(m.value, &at); err != nil {
		return checkpoint{revision: m.sequence}, fmt.Errorf("%w: it is not a checkpoint: %w", ErrCheckpoint, err)
	}
	return at, nil
}

// absent reports whether nothing was folded yet.
func (c checkpoint) absent() bool { return c.Stream == "" }

// verify reports how c does not fit the stream as it is now, in the timeline now.
//
// Messages deleted in the middle of the stream, as erasure does, are no gap. When
// the stream begins after what the model needs next, its first messages went away
// unseen; whether one by one or all at once cannot be told, so it counts as a loss.
func (c checkpoint) verify(info *jetstream.StreamInfo, now timeline.Timeline) error {
	switch {
	case c.absent():
		return nil
	case c.Stream != info.Config.Name:
		return fmt.Errorf("%w: it is of stream %s, not %s", ErrCheckpoint, c.Stream, info.Config.Name)
	case !now.Holds(c.Created, c.Sequence):
		return fmt.Errorf("%w: it is at %d of a stream that began at %s; %s was made anew or restored to before that, and began at %s", ErrCheckpoint,
			c.Sequence, c.Created.Format(time.RFC3339Nano), info.Config.Name, now.Began.Format(time.RFC3339Nano))
	case c.Sequence > info.State.LastSeq:
		return fmt.Errorf("%w: it is at %d, %s ends at %d", errEnd, c.Sequence, info.Config.Name, info.State.LastSeq)
	case c.Sequence+1 < info.State.FirstSeq:
		return fmt.Errorf("%w: it is at %d, %s begins at %d", ErrCheckpoint, c.Sequence, info.Config.Name, info.State.FirstSeq)
	default:
		return nil
	}
}
