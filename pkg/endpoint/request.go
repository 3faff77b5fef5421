package endpoint

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// request is one request as NATS delivered it, and the context its handler gets.
type request struct {
	lifetime

	x       exchange
	reply   string
	header  nats.Header
	body    []byte
	arrived time.Time

	correlation string
	out         *outflow // of a stream
	page        *page    // has the response; nil when there is none

	place  int         // among those that run; guarded by the lane
	gaveUp atomic.Bool // its caller did
}

// Value is part of [context.Context].
func (r *request) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return &r.x
	}
	return r.lifetime.Value(key)
}

// end ends the context, and what the response was written on is free again.
func (r *request) end() {
	r.cancel()
	if r.page != nil {
		r.page.free()
	}
}
