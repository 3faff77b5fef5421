package bus

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullBatch     = 500
	pullExpires   = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	leastSilence  = 3 * time.Second
)

// puller asks a consumer for messages and keeps asking. It is here, and not nats.go's
// Consume, because that takes an empty message with a Status header for word from
// the server, so that an outsider's message could stop a consumer or vanish for ever.
// What JetStream delivers has an acknowledgement subject as its reply; word from the
// server has none.
type puller struct {
	nc      *nats.Conn
	subject string // where requests go
	group   string // priority group, when the consumer has one
	pinned  bool   // the consumer serves one client of the group at a time
	batch   int
	expires time.Duration
	deliver func(*nats.Msg, time.Time) // with the time it arrived
	trouble func(error)                // requests ended; call restart when they make sense again

	inbox  string
	sub    *nats.Subscription
	closed chan struct{} // when a drain is complete

	mu       sync.Mutex
	request  int // number of the latest request; answers to those before a restart do not count
	restarts int // the request the last restart began with
	expected int // messages that requests still ask for
	pin      string
	heard    time.Time
}

type pullRequest struct {
	Expires   int64  `json:"expires"`
	Batch     int    `json:"batch"`
	Heartbeat int64  `json:"idle_heartbeat"`
	Group     string `json:"group,omitzero"`
	Pin       string `json:"id,omitzero"`
}

func newPuller(js jetstream.JetStream, c jetstream.ConsumerConfig, stream string) *puller {
	p := &puller{
		nc: js.Conn(), subject: apiPrefix(js) + "CONSUMER.MSG.NEXT." + stream + "." + c.Durable,
		batch: min(pullBatch, c.MaxAckPending), expires: pullExpires, closed: make(chan struct{}),
	}
	if c.MaxRequestBatch > 0 {
		p.batch = min(p.batch, c.MaxRequestBatch)
	}
	if c.MaxRequestExpires > 0 {
		p.expires = min(p.expires, c.MaxRequestExpires)
	}
	if len(c.PriorityGroups) > 0 {
		p.group = c.PriorityGroups[0]
	}
	if p.pinned = c.PriorityPolicy == jetstream.PriorityPolicyPinned; p.pinned && c.PinnedTTL > 0 { // each request renews the pin
		p.expires = min(p.expires, c.PinnedTTL/2)
	}
	return p
}

// start subscribes. The first request is that of restart.
func (p *puller) start() error {
	p.inbox = p.nc.NewInbox()
	sub, err := p.nc.Subscribe(p.inbox+".*", p.receive)
	if err != nil {
		return fmt.Errorf("subscribe for deliveries: %w", err)
	}
	sub.SetClosedHandler(func(string) { close(p.closed) })
	p.sub = sub
	return nil
}

// drain asks for nothing more and closes p.closed once what has arrived is delivered.
func (p *puller) drain() error { return p.sub.Drain() }

// restart forgets the requests under way, which the server has lost or ended, and
// asks anew.
func (p *puller) restart() {
	p.mu.Lock()
	p.restarts, p.expected, p.heard = p.request+1, 0, time.Now()
	err := p.ask()
	p.mu.Unlock()
	if err != nil {
		p.trouble(err)
	}
}

// silent reports whether not even a heartbeat came for two of its intervals, and for
// longer than a busy machine may take.
func (p *puller) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.heard) > max(2*p.heartbeat(), leastSilence)
}

// outranked reports whether the server has pinned another client, as far as it has said.
func (p *puller) outranked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pinned && p.pin == ""
}

func (p *puller) heartbeat() time.Duration { return min(pullHeartbeat, p.expires/2) }

// ask tops up what is expected once it is below half a batch. The caller holds mu.
func (p *puller) ask() error {
	missing := p.batch - p.expected
	if 2*missing < p.batch {
		return nil
	}
	body, err := json.Marshal(pullRequest{
		Expires: p.expires.Nanoseconds(), Batch: missing, Heartbeat: p.heartbeat().Nanoseconds(), Group: p.group, Pin: p.pin,
	})
	if err != nil {
		return fmt.Errorf("encode pull request: %w", err)
	}
	p.request++
	if err := p.nc.PublishRequest(p.subject, p.inbox+"."+strconv.Itoa(p.request), body); err != nil {
		return fmt.Errorf("request messages: %w", err)
	}
	p.expected = p.batch
	return nil
}

func (p *puller) receive(msg *nats.Msg) {
	var err error
	if strings.HasPrefix(msg.Reply, ackPrefix) {
		pin, now := p.takePin(msg), time.Now()
		p.deliver(msg, now)
		p.mu.Lock()
		p.heard = now
		if pin != "" {
			p.pin = pin
		}
		p.expected = max(p.expected-1, 0)
		err = p.ask()
		p.mu.Unlock()
	} else {
		err = p.hear(msg)
	}
	if err != nil {
		p.trouble(err)
	}
}

// takePin returns the pin that the server has put at the end of the headers of a
// message from a pinned consumer, and leaves the message as it was published.
func (p *puller) takePin(msg *nats.Msg) string {
	const header = "Nats-Pin-Id"
	values := msg.Header[header]
	if !p.pinned || len(values) == 0 {
		return ""
	}
	last := len(values) - 1
	switch {
	case last > 0:
		msg.Header[header] = values[:last]
	case len(msg.Header) > 1:
		delete(msg.Header, header)
	default:
		msg.Header = nil
	}
	return values[last]
}

// hear takes word from the server about a request.
func (p *puller) hear(msg *nats.Msg) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	request, err := strconv.Atoi(strings.TrimPrefix(msg.Subject, p.inbox+"."))
	if err != nil || request < p.restarts {
		return nil // not about a request that counts
	}
	p.heard = time.Now()
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100": // a heartbeat
		return nil
	case status == "408", status == "409" && strings.EqualFold(description, "Batch Completed"):
		if left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages")); err == nil {
			p.expected -= left
		}
		p.expected = max(p.expected, 0)
		return p.ask()
	case status == "423": // another client is pinned now
		p.pin, p.expected = "", 0
		return p.ask()
	default:
		return fmt.Errorf("consumer says %s %s", status, description)
	}
}
