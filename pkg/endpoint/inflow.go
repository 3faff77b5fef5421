package endpoint

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// ErrGap says that a part of a stream got lost on its way.
var ErrGap = errors.New("a part of the stream got lost")

// ahead is how many messages of a stream we take without having read them.
const ahead = 16

// inflow is a stream on its way in.
type inflow struct {
	messages chan *nats.Msg // with lines, and the last one
	beats    chan struct{}  // the stream goes on
	broken   chan struct{}  // closed when nothing comes any more

	once     sync.Once
	err      error  // why it broke
	sequence uint64 // of the last message; the callback's
}

func newInflow() *inflow {
	return &inflow{
		messages: make(chan *nats.Msg, ahead+1), beats: make(chan struct{}, 1), broken: make(chan struct{}),
	}
}

// receive takes a message and never blocks.
func (f *inflow) receive(m *nats.Msg) {
	select {
	case <-f.broken:
		return
	default:
	}
	if !nobodyServes(m) {
		n, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
		if err != nil || n != f.sequence+1 {
			f.lose(fmt.Errorf("%w: message %q after %d", ErrGap, m.Header.Get(headerSequence), f.sequence))
			return
		}
		f.sequence = n
		if string(m.Data) == beat {
			select {
			case f.beats <- struct{}{}:
			default:
			}
			return
		}
	}
	select {
	case f.messages <- m:
	default:
		f.lose(fmt.Errorf("%w: more than %d messages came unread", ErrGap, ahead))
	}
}

// lose says that nothing comes any more, and why.
func (f *inflow) lose(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.broken)
	})
}
