package eventstore

import (
	"sync"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
)

// draft is the memory of one decision's messages. It is used again and again, since
// headers are most of what an append would allocate.
type draft struct {
	sheets   []*sheet
	messages []*nats.Msg
}

type sheet struct {
	encoder event.Encoder
	message nats.Msg
}

// message returns the next message, with e in it.
func (d *draft) message(e event.Event) *nats.Msg {
	n := len(d.messages)
	if n == len(d.sheets) {
		d.sheets = append(d.sheets, new(sheet))
	}
	s := d.sheets[n]
	header, body := s.encoder.Encode(e)
	s.message = nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body}
	d.messages = append(d.messages, &s.message)
	return &s.message
}

// drafts is a pool of them.
type drafts struct{ pool sync.Pool }

func (p *drafts) take() *draft {
	if d, ok := p.pool.Get().(*draft); ok {
		return d
	}
	return new(draft)
}

// putBack is for a draft whose messages nobody has any more. Large ones are not worth
// keeping.
func (p *drafts) putBack(d *draft) {
	const most = 4
	if len(d.sheets) > most {
		return
	}
	d.clear()
	p.pool.Put(d)
}

// clear makes room for other messages.
func (d *draft) clear() {
	for _, m := range d.messages {
		m.Data = nil
	}
	d.messages = d.messages[:0]
}
