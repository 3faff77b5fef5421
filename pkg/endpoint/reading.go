package endpoint

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// reading is a stream that is being read.
type reading struct {
	c       *Caller
	flow    *inflow
	timer   *time.Timer // for the next sign of life
	subject string
	reply   string
	token   uint64
	first   *nats.Msg // came while it was opened

	count uint64 // messages that were read
	told  uint64 // those that the service heard of
	when  time.Time
	over  bool // the service has ended it
}

func (c *Caller) newReading(subject string) *reading {
	return &reading{c: c, flow: newInflow(), timer: time.NewTimer(c.timeout), subject: subject, when: time.Now()}
}

// open sends the request and returns when the service has given a sign of life, which is
// to be before attempt ends. The stream itself is to end with ctx.
func (r *reading) open(ctx, attempt context.Context, h nats.Header, body []byte) (err error) {
	if err := r.c.ready(attempt); err != nil {
		return r.c.transportError(r.subject, err)
	}
	if r.reply, r.token, err = r.c.mux.expectAll(r.flow); err != nil {
		r.over = true
		return r.c.transportError(r.subject, err)
	}
	var left time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	header := make(nats.Header, len(h)+1)
	maps.Copy(header, h)
	header[headerWindow] = []string{strconv.Itoa(ahead)}
	if err := r.c.send(ctx, letter{r.subject, r.reply, header, body}, left); err != nil {
		return err
	}
	if r.first, err = r.next(attempt); err == nil && r.first != nil && len(r.first.Data) == 0 {
		_, err = r.verdict(ctx, r.first)
	}
	return err
}

// all calls each with the lines of all messages, until it returns false.
func (r *reading) all(ctx context.Context, each func(r *reading, lines []byte) bool) error {
	for m := r.first; ; m = nil {
		for m == nil {
			var err error
			if m, err = r.next(ctx); err != nil {
				return err
			}
		}
		last, err := r.verdict(ctx, m)
		if last || err != nil {
			return err
		}
		if !each(r, m.Data) {
			return nil
		}
		r.acknowledge(1)
	}
}

// next returns the next message, or nil when the stream gives another sign of life.
func (r *reading) next(ctx context.Context) (*nats.Msg, error) {
	r.timer.Reset(r.c.timeout)
	select {
	case m := <-r.flow.messages:
		return m, nil
	case <-r.flow.beats:
		r.acknowledge(0)
		return nil, nil //nolint:nilnil // a sign of life is no message
	case <-r.flow.broken:
		select {
		case m := <-r.flow.messages: // it came before
			return m, nil
		default:
			return nil, r.c.transportError(r.subject, r.flow.err)
		}
	case <-r.timer.C:
		return nil, r.c.transportError(r.subject, context.DeadlineExceeded)
	case <-ctx.Done():
		return nil, r.c.transportError(r.subject, ctx.Err())
	}
}

// verdict says whether m is the last, and the error that the service ended it with.
func (r *reading) verdict(ctx context.Context, m *nats.Msg) (last bool, err error) {
	text := m.Data
	if last = len(text) == 0; last {
		r.over, text = true, []byte(m.Header.Get(headerProblem))
	}
	if nobodyServes(m) {
		return last, r.c.transportError(r.subject, nats.ErrNoResponders)
	}
	if s, ok := ctx.Value(sessionKey{}).(*session); ok && last {
		s.remember(m.Header.Get(HeaderPosition))
	}
	if e := errorFrom(m.Header, text); e != nil {
		if m.Header.Get(headerNotTaken) != "" {
			_ = e.Because(ErrNotTaken)
		}
		return last, e
	}
	return last, nil
}

// acknowledge notes that more messages were read. Of that the service hears while it
// still has credit left, and also when it has heard nothing for a while.
func (r *reading) acknowledge(more uint64) {
	r.count += more
	if r.over || r.count-r.told < ahead/2 && time.Since(r.when) < heartbeat {
		return
	}
	r.told, r.when = r.count, time.Now()
	r.c.tell(r.subject, verbCredit, r.reply+" "+strconv.FormatUint(r.count, 10))
}

// close stops the service, unless it has ended the stream, and waits for nothing more.
func (r *reading) close() {
	r.timer.Stop()
	r.c.mux.forget(r.token)
	if !r.over && r.reply != "" {
		r.c.tell(r.subject, verbCancel, r.reply)
	}
}
