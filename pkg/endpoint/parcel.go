package endpoint

import (
	"bytes"
	"sync"

	"github.com/nats-io/nats.go"
)

// parcel is a message that is used again: nats.go has encoded it when its publish
// returns. Each header has one value.
type parcel struct {
	msg    nats.Msg
	values []string // what the slices in the header are of
}

// usualHeaders is how many headers fit a parcel without another allocation.
const usualHeaders = 12

var parcels = sync.Pool{New: func() any {
	return &parcel{msg: nats.Msg{Header: make(nats.Header, usualHeaders)}, values: make([]string, 0, usualHeaders)}
}}

// newParcel returns an empty one, which must be freed.
func newParcel() *parcel {
	p, _ := parcels.Get().(*parcel)
	return p
}

func (p *parcel) free() {
	clear(p.msg.Header)
	clear(p.values)
	p.values = p.values[:0]
	p.msg.Subject, p.msg.Reply, p.msg.Data = "", "", nil
	parcels.Put(p)
}

// set adds a header, unless value is empty.
func (p *parcel) set(name, value string) {
	if value == "" {
		return
	}
	p.values = append(p.values, value)
	last := len(p.values)
	p.msg.Header[name] = p.values[last-1 : last : last]
}

// page is what a body is written on. It is used again, for the same reason.
type page struct{ bytes.Buffer }

var pages = sync.Pool{New: func() any { return new(page) }}

func newPage() *page {
	p, _ := pages.Get().(*page)
	return p
}

// largestPage is what is kept: one huge response shall not hold its memory for ever.
const largestPage = 64 << 10

func (p *page) free() {
	if p.Cap() <= largestPage {
		p.Reset()
		pages.Put(p)
	}
}
