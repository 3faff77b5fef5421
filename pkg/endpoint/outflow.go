package endpoint

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// The headers of streams.
const (
	// headerWindow is in a request and holds how many messages its caller takes without
	// having said that it has read them.
	headerWindow = "Sluice-Stream-Window"
	// headerSequence is in each message and holds its number, from 1.
	headerSequence = "Sluice-Stream-Sequence"
	// headerProblem is in the last message and holds what is the body of other errors.
	headerProblem = "Sluice-Stream-Error"
)

// MaxUncredited is how many messages of a stream a caller gets who does not say what it
// has read, about 8 MiB.
const MaxUncredited = 128

const (
	chunk         = 64 << 10              // of lines in one message
	maxWindow     = 64                    // messages
	longestStream = 24 * time.Hour        // with a caller who reads
	heartbeat     = time.Second           // of a stream with nothing to say
	linger        = 20 * time.Millisecond // of a line in a message that is not full
)

// beat is the body of a message that says nothing but that the stream goes on.
const beat = "\n"

// outflow is a stream on its way out.
type outflow struct {
	nc          *nats.Conn
	reply       string
	correlation string
	patience    time.Duration // with a caller who says nothing
	credit      chan struct{} // the caller has read something

	mu       sync.Mutex
	lines    []byte
	since    time.Time // the first of lines has waited
	sequence uint64
	window   uint64 // 0: the caller says nothing of what it reads
	sent     uint64 // messages with lines
	taken    uint64 // of these
	spoke    time.Time
	heard    time.Time
}

// window returns how many messages the sender of the request takes at once, 0 when it
// does not say.
func window(h nats.Header) (uint64, error) {
	value, err := single(h, headerWindow)
	if err != nil || value == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n == 0 {
		return 0, malformed(headerWindow, "must be a number of messages")
	}
	return min(n, maxWindow), nil
}

// begin starts the clocks of a stream whose caller takes so many messages at once.
func (o *outflow) begin(window uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.window, o.spoke, o.heard = window, time.Now(), time.Now()
}

// write sends lines, sooner or later, and waits while the caller has enough.
func (o *outflow) write(ctx context.Context, line []byte) error {
	for {
		o.mu.Lock()
		if len(o.lines) == 0 || len(o.lines)+len(line) <= chunk {
			if len(o.lines) == 0 {
				o.since = time.Now()
			}
			o.lines = append(o.lines, line...)
			o.mu.Unlock()
			return ctx.Err()
		}
		sent, err := o.flush()
		o.mu.Unlock()
		if err != nil {
			return err
		}
		if !sent {
			if err := o.await(ctx); err != nil {
				return err
			}
		}
	}
}

// drain sends the lines that are left.
func (o *outflow) drain(ctx context.Context) error {
	for {
		o.mu.Lock()
		sent, err := o.flush()
		o.mu.Unlock()
		if sent || err != nil {
			return err
		}
		if err := o.await(ctx); err != nil {
			return err
		}
	}
}

func (o *outflow) await(ctx context.Context) error {
	select {
	case <-o.credit:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush sends the lines there are, unless the caller has enough. The caller of flush
// holds mu.
func (o *outflow) flush() (sent bool, err error) {
	if len(o.lines) == 0 {
		return true, nil
	}
	switch {
	case o.window == 0 && o.sent == MaxUncredited:
		return false, Invalid(fmt.Sprintf("the result is longer than %d messages, and its reader does not say what it has read", MaxUncredited))
	case o.window > 0 && o.sent-o.taken >= o.window:
		return false, nil
	}
	p := newParcel()
	defer p.free()
	err = o.publish(p, o.lines)
	if err != nil {
		return false, fmt.Errorf("send %d bytes of the stream: %w", len(o.lines), err)
	}
	o.sent++
	o.lines = o.lines[:0]
	return true, nil
}

// publish sends the next message. The caller holds mu.
func (o *outflow) publish(p *parcel, body []byte) error {
	p.msg.Subject, p.msg.Data = o.reply, body
	p.set(HeaderCorrelationID, o.correlation)
	p.set(headerSequence, strconv.FormatUint(o.sequence+1, 10))
	if err := o.nc.PublishMsg(&p.msg); err != nil {
		return err
	}
	o.sequence++
	o.spoke = time.Now()
	return nil
}

// end sends the last message, which is empty and has the error, if there is one.
func (o *outflow) end(positions string, failed error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := newParcel()
	defer p.free()
	p.set(HeaderPosition, positions)
	if failed != nil {
		p.set(headerProblem, string(coded(failed).address(p)))
	}
	return o.publish(p, nil)
}

// took notes that the caller has read so many messages in all.
func (o *outflow) took(n uint64) {
	o.mu.Lock()
	o.heard = time.Now()
	o.taken = min(max(o.taken, n), o.sent)
	o.mu.Unlock()
	select {
	case o.credit <- struct{}{}:
	default:
	}
}

// pulse keeps the stream alive until ctx ends: it sends lines that have waited, and a
// sign of life when there are none. It returns an error when the caller gives none.
func (o *outflow) pulse(ctx context.Context) error {
	tick := time.NewTicker(linger)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if !o.live(now) {
				return Deadline("nobody reads the stream")
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (o *outflow) live(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.window > 0 && now.Sub(o.heard) > o.patience {
		return false
	}
	if len(o.lines) > 0 && now.Sub(o.since) >= linger {
		if _, err := o.flush(); err != nil {
			return true // the next write meets it too
		}
	}
	if o.window > 0 && now.Sub(o.spoke) >= heartbeat {
		p := newParcel()
		defer p.free()
		_ = o.publish(p, []byte(beat)) // without a connection the caller hears nothing, and gives up
	}
	return true
}
