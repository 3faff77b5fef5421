package endpoint

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// mux hands the replies that arrive at one wildcard inbox to those who wait for them.
// That is what nats.go does for its requests, but here the reply subject is known, so
// that it can be said whose work is to be stopped, and takes more than one message.
type mux struct {
	nc *nats.Conn

	mu       sync.Mutex
	prefix   string    // of the reply subjects; empty before the first
	random   io.Reader // for their last token
	scratch  []byte
	calls    map[uint64]*pending
	streams  map[uint64]*inflow
	draining bool
}

// tokenBase is how the last token of a reply subject is written.
const tokenBase = 36

// expect returns a reply subject whose first message is p's, until it is forgotten.
func (x *mux) expect(p *pending) (reply string, token uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if reply, token, err = x.subject(); err == nil {
		x.calls[token] = p
	}
	return reply, token, err
}

// expectAll returns a reply subject whose messages are f's, until it is forgotten.
func (x *mux) expectAll(f *inflow) (reply string, token uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if reply, token, err = x.subject(); err == nil {
		x.streams[token] = f
	}
	return reply, token, err
}

// forget stops waiting. It reports false when the reply of a call is on its way to it.
func (x *mux) forget(token uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, waits := x.calls[token]
	delete(x.calls, token)
	delete(x.streams, token)
	return waits
}

// subject makes a reply subject that nobody can guess. The caller holds mu.
func (x *mux) subject() (reply string, token uint64, err error) {
	if x.prefix == "" {
		if err := x.open(); err != nil {
			return "", 0, err
		}
	}
	if x.draining {
		return "", 0, nats.ErrConnectionDraining
	}
	if _, err := io.ReadFull(x.random, x.scratch[:8]); err != nil {
		return "", 0, fmt.Errorf("make a reply subject: %w", err)
	}
	token = binary.NativeEndian.Uint64(x.scratch)
	x.scratch = strconv.AppendUint(append(x.scratch[:0], x.prefix...), token, tokenBase)
	return string(x.scratch), token, nil
}

// open subscribes. The caller holds mu.
func (x *mux) open() error {
	prefix := x.nc.NewInbox() + "."
	changes := x.nc.StatusChanged(nats.RECONNECTING, nats.DRAINING_SUBS, nats.CLOSED)
	if _, err := x.nc.Subscribe(prefix+"*", func(m *nats.Msg) { x.deliver(m, len(prefix)) }); err != nil {
		x.nc.RemoveStatusListener(changes)
		return err
	}
	x.prefix, x.random, x.scratch = prefix, bufio.NewReaderSize(rand.Reader, 512), make([]byte, 128)
	x.calls, x.streams = make(map[uint64]*pending), make(map[uint64]*inflow)
	go x.follow(changes)
	return nil
}

// deliver runs in the subscription's callback, one message after another.
func (x *mux) deliver(m *nats.Msg, prefix int) {
	token, err := strconv.ParseUint(m.Subject[min(prefix, len(m.Subject)):], tokenBase, 64)
	if err != nil {
		return
	}
	x.mu.Lock()
	call, stream := x.calls[token], x.streams[token]
	delete(x.calls, token)
	x.mu.Unlock()
	switch {
	case call != nil:
		call.reply <- m
	case stream != nil:
		stream.receive(m)
	}
}

// follow tells those who wait when the connection is lost, since their replies are too.
// It ends with the connection.
func (x *mux) follow(changes chan nats.Status) {
	for status := range changes {
		lost := nats.ErrDisconnected
		switch status {
		case nats.CLOSED:
			lost = nats.ErrConnectionClosed
			x.nc.RemoveStatusListener(changes)
		case nats.DRAINING_SUBS:
			lost = nats.ErrConnectionDraining
		default:
		}
		x.mu.Lock()
		calls, streams := x.calls, x.streams
		x.calls, x.streams = make(map[uint64]*pending), make(map[uint64]*inflow)
		x.draining = status == nats.DRAINING_SUBS
		x.mu.Unlock()
		for _, p := range calls {
			p.lost = lost
			p.reply <- nil
		}
		for _, f := range streams {
			f.lose(lost)
		}
	}
}
