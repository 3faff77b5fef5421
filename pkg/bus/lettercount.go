package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// LetterCounter counts the dead letters of consumers, again and again and for little:
// it reads none of them. As long as nothing has changed in the stream of dead letters,
// a count is one request of some 0.7 ms however many there are; else it is one more for
// each consumer, of 0.3 ms without letters and about 20 ms with 10,000 among 100,000.
//
// Several letters of one message, which a crash at the wrong moment may leave, count
// each, and so does what somebody published there by hand. Letters that are being
// redriven count until that has succeeded. It is safe for concurrent use.
type LetterCounter struct {
	js jetstream.JetStream

	mu     sync.Mutex
	seen   letterState
	counts map[string]uint64
}

// letterState tells one content of the stream from another.
type letterState struct {
	created           time.Time
	first, last, msgs uint64
}

// NewLetterCounter returns a counter for the stream [DeadLetterStream].
func NewLetterCounter(js jetstream.JetStream) *LetterCounter { return &LetterCounter{js: js} }

// Count returns how many dead letters each of these consumers has, 0 included. What it
// does not get to know is an error and no number.
func (c *LetterCounter) Count(ctx context.Context, consumers ...string) (map[string]uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	info := stream.CachedInfo()
	now := letterState{info.Created, info.State.FirstSeq, info.State.LastSeq, info.State.Msgs}
	if now != c.seen {
		c.seen, c.counts = now, make(map[string]uint64)
	}
	counts := make(map[string]uint64, len(consumers))
	for _, consumer := range consumers {
		n, counted := c.counts[consumer]
		if !counted && now.msgs > 0 {
			if n, err = c.count(ctx, "deadletter."+consumer+".>"); err != nil {
				c.counts = make(map[string]uint64)
				return nil, fmt.Errorf("count dead letters of %s: %w", consumer, err)
			}
			c.counts[consumer] = n
		}
		counts[consumer] = n
	}
	return counts, nil
}

// count asks for the first message on a subject, which comes with how many there are
// after it.
func (c *LetterCounter) count(ctx context.Context, subject string) (uint64, error) {
	body, err := json.Marshal(batchRequest{Sequence: 1, Next: subject, Batch: 1, MaxBytes: 1})
	if err != nil {
		return 0, err
	}
	reply, err := c.js.Conn().RequestWithContext(ctx, apiPrefix(c.js)+"DIRECT.GET."+DeadLetterStream, body)
	if err != nil {
		return 0, err
	}
	return counted(reply)
}

const noSuchMessage = "404"

var errUncounted = errors.New("the server does not say how many")

func counted(reply *nats.Msg) (uint64, error) {
	if _, stored := reply.Header[jetstream.SequenceHeader]; !stored {
		if reply.Header.Get("Status") == noSuchMessage {
			return 0, nil
		}
		return 0, fmt.Errorf("%w: status %q", errUncounted, reply.Header.Get("Status"))
	}
	after, err := strconv.ParseUint(lastOf(reply.Header, "Nats-Num-Pending"), 10, 64)
	if err != nil {
		return 0, errUncounted
	}
	return after + 1, nil
}
