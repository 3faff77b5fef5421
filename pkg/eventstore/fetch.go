package eventstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// fetcher asks for several messages in one burst, which costs a fraction of as many
// requests: the client sends them together, and no goroutine waits for each. All
// replies come to one inbox, which is subscribed by the first fetch and lasts as long
// as the connection.
type fetcher struct {
	mu      sync.Mutex
	inbox   string
	sub     *nats.Subscription
	last    uint64
	waiting map[uint64]*fetch // by number
}

// fetch is one burst under way.
type fetch struct {
	replies []*nats.Msg
	left    int
	done    chan struct{}
}

// all publishes a request to subject with each of the bodies and returns the replies
// in the same order.
func (f *fetcher) all(ctx context.Context, nc *nats.Conn, subject string, bodies [][]byte) ([]*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	number, asked, err := f.begin(nc, len(bodies))
	if err != nil {
		return nil, err
	}
	defer f.end(number)
	prefix := f.inbox + "." + strconv.FormatUint(number, 10) + "."
	for i, body := range bodies {
		if err := nc.PublishRequest(subject, prefix+strconv.Itoa(i), body); err != nil {
			return nil, err
		}
	}
	select {
	case <-asked.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for _, m := range asked.replies {
		if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
			return nil, nats.ErrNoResponders
		}
	}
	return asked.replies, nil
}

func (f *fetcher) begin(nc *nats.Conn, n int) (uint64, *fetch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sub == nil {
		inbox := nc.NewInbox()
		sub, err := nc.Subscribe(inbox+".*.*", f.receive)
		if err != nil {
			return 0, nil, fmt.Errorf("subscribe for replies: %w", err)
		}
		f.inbox, f.sub, f.waiting = inbox, sub, make(map[uint64]*fetch)
	}
	f.last++
	asked := &fetch{replies: make([]*nats.Msg, n), left: n, done: make(chan struct{})}
	f.waiting[f.last] = asked
	return f.last, asked, nil
}

func (f *fetcher) end(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, number)
}

// receive takes one reply. What nobody waits for any more is let go.
func (f *fetcher) receive(m *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	number, place, _ := strings.Cut(strings.TrimPrefix(m.Subject, f.inbox+"."), ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	asked, ok := f.waiting[n]
	if !ok {
		return
	}
	i, err := strconv.Atoi(place)
	if err != nil || i < 0 || i >= len(asked.replies) || asked.replies[i] != nil {
		return
	}
	asked.replies[i] = m
	if asked.left--; asked.left == 0 {
		close(asked.done)
	}
}
