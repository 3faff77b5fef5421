package projection

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

var (
	errConnection = errors.New("the connection was lost")
	errMissed     = errors.New("messages were lost on the way")
	errSilent     = errors.New("the server is silent")
)

const (
	feedBatch      = 1000
	feedBytes      = 8 << 20 // on their way for one request
	feedExpires    = 30 * time.Second
	feedHeartbeat  = 2 * time.Second
	feedInactivity = 30 * time.Second
	feedGoodbye    = time.Second

	ackPrefix = "$JS.ACK."
)

// delivery is one message of a stream.
type delivery struct {
	*nats.Msg
	sequence uint64
	pending  uint64 // how many more the stream has for this feed
	stored   time.Time
}

// feed reads a stream through an ephemeral consumer, in order, and ends at the first
// sign of trouble instead of mending itself, so that whoever comes back looks at
// everything anew. It does its own pulling, because nats.go's Consume takes an empty
// message with a Status header for word from the server. What JetStream delivers has
// an acknowledgement subject as its reply; word from the server has none.
type feed struct {
	stream  stream
	next    string // where requests go
	inbox   string
	deliver func(delivery)
	lost    func(error)

	sub    *nats.Subscription
	closed chan struct{} // when the last delivery has returned

	delivered uint64 // only the subscription's goroutine uses these three
	request   int
	expected  int

	mu    sync.Mutex
	heard time.Time
}

// openFeed calls deliver, from one goroutine, with what config asks of a stream, until
// stop, which waits for it. lost is called, perhaps several times, when the feed can't
// go on; a lost connection is for [guard] to notice.
func openFeed(ctx context.Context, s stream, config jetstream.ConsumerConfig, deliver func(delivery), lost func(error)) (stop func(), err error) {
	config.Name = "projection_" + nuid.Next()
	config.AckPolicy = jetstream.AckNonePolicy
	config.MemoryStorage = true
	config.Replicas = 1
	config.InactiveThreshold = feedInactivity
	if _, err := s.js.CreateConsumer(ctx, s.name, config); err != nil {
		return nil, fmt.Errorf("consume stream %s: %w", s.name, err)
	}
	f := &feed{
		stream: s, next: s.api("CONSUMER.MSG.NEXT.%s.%s", s.name, config.Name), inbox: s.js.Conn().NewInbox(),
		deliver: deliver, lost: lost, closed: make(chan struct{}), heard: time.Now(),
	}
	forget := func() {
		if s.js.Conn().IsConnected() {
			goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), feedGoodbye)
			defer cancel()
			_ = s.js.DeleteConsumer(goodbye, s.name, config.Name) // it expires by itself otherwise
		}
	}
	if err := f.start(); err != nil {
		forget()
		return nil, fmt.Errorf("consume stream %s: %w", s.name, err)
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { f.listen(over) })
	return func() {
		close(over)
		_ = f.sub.Unsubscribe() // fails only on a closed connection
		watching.Wait()
		<-f.closed
		forget()
	}, nil
}

func (f *feed) start() error {
	f.request, f.expected = 1, feedBatch
	sub, err := f.stream.js.Conn().Subscribe(f.inbox+".*", f.receive)
	if err != nil {
		return err
	}
	sub.SetClosedHandler(func(string) { close(f.closed) })
	f.sub = sub
	if err := f.publish(1, feedBatch); err != nil {
		return errors.Join(err, sub.Unsubscribe())
	}
	return nil
}

// listen notices when not even a heartbeat comes.
func (f *feed) listen(over <-chan struct{}) {
	ticker := time.NewTicker(feedHeartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			f.mu.Lock()
			silence := time.Since(f.heard)
			f.mu.Unlock()
			if silence > 3*feedHeartbeat {
				f.lost(errSilent)
			}
		}
	}
}

// ask tops up what is expected once it is below half a batch.
func (f *feed) ask() error {
	missing := feedBatch - f.expected
	if 2*missing < feedBatch {
		return nil
	}
	f.request++
	f.expected = feedBatch
	return f.publish(f.request, missing)
}

func (f *feed) publish(request, batch int) error {
	body, err := json.Marshal(struct {
		Expires   int64 `json:"expires"`
		Batch     int   `json:"batch"`
		MaxBytes  int   `json:"max_bytes"`
		Heartbeat int64 `json:"idle_heartbeat"`
	}{Expires: feedExpires.Nanoseconds(), Batch: batch, MaxBytes: feedBytes, Heartbeat: feedHeartbeat.Nanoseconds()})
	if err != nil {
		return err
	}
	return f.stream.js.Conn().PublishRequest(f.next, f.inbox+"."+strconv.Itoa(request), body)
}

func (f *feed) receive(msg *nats.Msg) {
	err := f.take(msg)
	if err == nil {
		err = f.ask()
	}
	f.mu.Lock()
	f.heard = time.Now()
	f.mu.Unlock()
	if err != nil {
		f.lost(err)
	}
}

func (f *feed) take(msg *nats.Msg) error {
	if !strings.HasPrefix(msg.Reply, ackPrefix) {
		return f.hear(msg)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	f.delivered++
	f.expected = max(f.expected-1, 0)
	if meta.Sequence.Consumer != f.delivered {
		return errMissed
	}
	f.deliver(delivery{Msg: msg, sequence: meta.Sequence.Stream, pending: meta.NumPending, stored: meta.Timestamp})
	return nil
}

// hear takes word from the server about a request.
func (f *feed) hear(msg *nats.Msg) error {
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100": // a heartbeat
		return nil
	case status == "408", status == "409" && (strings.EqualFold(description, "Batch Completed") || strings.EqualFold(description, "Message Size Exceeds MaxBytes")):
		if left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages")); err == nil {
			f.expected = max(f.expected-left, 0)
		}
		return nil
	default:
		return fmt.Errorf("the consumer says %s %s", status, description)
	}
}

// guard returns a context that ends when a connection is lost or comes back: what was
// read and asked for before then counts no more. lost ends it for another reason,
// done must be called in the end.
func guard(ctx context.Context, connections ...*nats.Conn) (guarded context.Context, lost func(error), done func()) {
	guarded, lost = context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	for _, nc := range connections {
		status := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
		watching.Go(func() {
			defer nc.RemoveStatusListener(status)
			select {
			case <-status:
				lost(errConnection)
			case <-guarded.Done():
			}
		})
	}
	return guarded, lost, func() {
		lost(nil)
		watching.Wait()
	}
}

// count returns how many messages lie after sequence.
func (s stream) count(ctx context.Context, sequence uint64) (uint64, error) {
	consumer, err := s.js.CreateConsumer(ctx, s.name, jetstream.ConsumerConfig{
		Name:          "projection_" + nuid.Next(),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   sequence + 1,
		AckPolicy:     jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1,
		InactiveThreshold: feedInactivity,
	})
	if err != nil {
		return 0, fmt.Errorf("count events of stream %s: %w", s.name, err)
	}
	info := consumer.CachedInfo()
	if err := s.js.DeleteConsumer(ctx, s.name, info.Name); err != nil {
		return 0, fmt.Errorf("count events of stream %s: %w", s.name, err)
	}
	return info.NumPending, nil
}
