package timeline

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MetadataKey is where a stream's configuration says that it was restored: when each
// timeline began and, after =, the last sequence that the next one took over from it;
// the present one is last. Without it the stream is in its first timeline.
const MetadataKey = "sluice.timeline"

// ErrMalformed says that a stream's metadata do not tell which timeline it is in.
var ErrMalformed = errors.New("malformed timeline")

// Timeline is one life of a stream, and those that it goes on from. It is immutable.
type Timeline struct {
	// Began tells it from all others of the stream.
	Began time.Time

	before []ended
}

// ended is a timeline that another one goes on from.
type ended struct {
	began time.Time
	last  uint64 // the next one has all up to here, and nothing after it
}

// Of returns the timeline that a stream is in. An error is [ErrMalformed].
func Of(info *jetstream.StreamInfo) (Timeline, error) {
	return Parse(info.Created, info.Config.Metadata)
}

// Parse is [Of] for a stream that was created then and has these metadata.
func Parse(created time.Time, metadata map[string]string) (Timeline, error) {
	text, restored := metadata[MetadataKey]
	if !restored {
		return Timeline{Began: created.UTC()}, nil
	}
	fail := func(err error) (Timeline, error) {
		return Timeline{}, fmt.Errorf("%w: %s is %q: %w", ErrMalformed, MetadataKey, text, err)
	}
	var t Timeline
	words := strings.Fields(text)
	if len(words) == 0 {
		return fail(errors.New("it is empty"))
	}
	for i, word := range words {
		began, last, over := strings.Cut(word, "=")
		at, err := time.Parse(time.RFC3339Nano, began)
		if err != nil {
			return fail(err)
		}
		if over != (i < len(words)-1) {
			return fail(errors.New("all but the last have a last sequence"))
		}
		if !over {
			t.Began = at.UTC()
			break
		}
		sequence, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			return fail(err)
		}
		t.before = append(t.before, ended{began: at.UTC(), last: sequence})
	}
	return t, nil
}

// Fork returns the timeline that begins when a backup of t, which ends at last, is
// restored.
func (t Timeline) Fork(last uint64, at time.Time) Timeline {
	return Timeline{Began: at.UTC(), before: append(slices.Clone(t.before), ended{began: t.Began.UTC(), last: last})}
}

// Metadata returns what stands at [MetadataKey] of a stream in this timeline, if it is
// not the first.
func (t Timeline) Metadata() string {
	var b strings.Builder
	for _, e := range t.before {
		fmt.Fprintf(&b, "%s=%d ", e.began.Format(time.RFC3339Nano), e.last)
	}
	b.WriteString(t.Began.Format(time.RFC3339Nano))
	return b.String()
}

// Holds reports whether a position that was kept while the stream was in the timeline
// that began then is one of this timeline too. It does not know where the stream ends.
func (t Timeline) Holds(began time.Time, sequence uint64) bool {
	if began.Equal(t.Began) {
		return true
	}
	for _, e := range slices.Backward(t.before) {
		if sequence > e.last {
			return false
		}
		if began.Equal(e.began) {
			return true
		}
	}
	return false
}
