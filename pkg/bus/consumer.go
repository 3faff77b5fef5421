package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Consumer runs the handlers of one group; make it with [Consume].
type Consumer struct {
	js       jetstream.JetStream
	group    Group
	cfg      Config
	handlers handlers
	invalid  error // what Start says about the handlers

	source  jetstream.Consumer
	ackWait time.Duration
	pull    *puller

	cancelRun  context.CancelFunc // ends the handlers' context, when draining runs out of time
	slots      chan struct{}      // one for each running handler
	stopping   chan struct{}      // closed when no further handler may start
	ended      chan struct{}      // closed when the background goroutines have to go
	lapsed     chan struct{}      // nudges supervise: look at the consumer now
	background sync.WaitGroup

	mu       sync.Mutex
	started  bool
	stopped  bool
	held     map[uint64]*item // by stream sequence
	lanes    map[string]*lane
	idle     chan struct{} // closed when stopped and the last lane has ended
	gate     gate
	settled  recent
	last     uint64 // consumer sequence of the latest delivery
	trouble  error  // why no messages come
	shutFrom time.Time
}

// Consume returns a consumer of g that runs the handlers. Nothing happens before
// Start.
func Consume(js jetstream.JetStream, g Group, cfg Config, list ...Handler) *Consumer {
	all, err := newHandlers(list)
	g = g.withDefaults()
	return &Consumer{
		js: js, group: g, cfg: cfg.withDefaults(), handlers: all, invalid: err,
		slots: make(chan struct{}, g.Concurrency), stopping: make(chan struct{}), ended: make(chan struct{}),
		lapsed: make(chan struct{}, 1), idle: make(chan struct{}),
		held: make(map[uint64]*item), lanes: make(map[string]*lane), gate: newGate(),
	}
}

// Start binds to the durable consumer and begins to handle. It fails when the
// consumer is absent, when its configuration cannot keep what this package promises,
// or when it does not deliver exactly the types that have handlers. A consumer is
// started once. ctx bounds Start alone.
func (c *Consumer) Start(ctx context.Context) error {
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("group %s on stream %s: %w", c.group.Name, c.group.Stream, err)
	}
	return nil
}

func (c *Consumer) start(ctx context.Context) error {
	if c.invalid != nil {
		return c.invalid
	}
	source, err := c.js.Consumer(ctx, c.group.Stream, c.group.Name)
	if err != nil {
		return fmt.Errorf("bind to the consumer: %w", err)
	}
	info := source.CachedInfo()
	if err := c.check(info.Config); err != nil {
		return err
	}
	c.mu.Lock()
	if c.started || c.stopped {
		c.mu.Unlock()
		return errors.New("a consumer is started once")
	}
	c.started = true
	c.source, c.ackWait = source, info.Config.AckWait
	c.settled = newRecent(max(info.Config.MaxAckPending, pullBatch))
	c.last, c.shutFrom = info.Delivered.Consumer, time.Now()
	c.gate.assess(info, c.held)
	c.mu.Unlock()

	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancelRun = cancel
	c.pull = newPuller(c.js, info.Config, c.group.Stream)
	c.pull.deliver, c.pull.trouble = func(msg *nats.Msg) { c.receive(run, msg) }, c.fail
	if err := c.pull.start(); err != nil {
		cancel()
		c.mu.Lock()
		c.started = false
		c.mu.Unlock()
		return err
	}
	c.background.Go(func() { c.supervise(run) })
	c.background.Go(c.keepAlive)
	return nil
}

// check tells what is wrong with the durable consumer's configuration.
func (c *Consumer) check(cfg jetstream.ConsumerConfig) error {
	switch {
	case cfg.AckPolicy != jetstream.AckExplicitPolicy:
		return fmt.Errorf("the consumer's ack policy is %s, it must be explicit", cfg.AckPolicy)
	case cfg.MaxDeliver > 0:
		return fmt.Errorf("the consumer has max_deliver %d: the server would give messages up without a dead letter", cfg.MaxDeliver)
	case cfg.MaxAckPending <= 0:
		return errors.New("the consumer has no max_ack_pending, so nothing bounds what is held in memory")
	case cfg.HeadersOnly:
		return errors.New("the consumer delivers headers only")
	case c.handlers.message != nil:
		return nil
	}
	filters := cfg.FilterSubjects
	if cfg.FilterSubject != "" {
		filters = []string{cfg.FilterSubject}
	}
	unhandled := []string{}
	delivered := make(map[string]bool, len(filters))
	for _, filter := range filters {
		eventType := strings.TrimSuffix(filter, ".*")
		delivered[eventType] = true
		if c.handlers.byType[eventType] == nil {
			unhandled = append(unhandled, filter)
		}
	}
	undelivered := []string{}
	for eventType := range c.handlers.byType {
		if !delivered[eventType] {
			undelivered = append(undelivered, eventType)
		}
	}
	slices.Sort(undelivered)
	switch {
	case len(filters) == 0:
		return fmt.Errorf("the consumer has no filter: it must filter on exactly the handled types %v", undelivered)
	case len(unhandled)+len(undelivered) > 0:
		return fmt.Errorf("the consumer's filters are not the handled types: no handler for %v, no filter for %v", unhandled, undelivered)
	}
	return nil
}

// receive takes what the server delivers, in the order of delivery.
func (c *Consumer) receive(ctx context.Context, msg *nats.Msg) {
	d, err := newDelivery(c.js.Conn(), msg)
	if err != nil {
		c.fail(err)
		return
	}
	sequence := d.meta.Sequence.Stream
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.meta.Sequence.Consumer != c.last+1 {
		c.shut()
	}
	c.last = d.meta.Sequence.Consumer
	if it, ok := c.held[sequence]; ok {
		it.delivery = d
		return
	}
	c.gate.received(sequence)
	if d.meta.NumDelivered > 1 && c.settled.has(sequence) {
		if err := d.Ack(); err != nil {
			c.setTrouble(err)
		}
		return
	}
	it := &item{
		delivery: d, received: time.Now(),
		prior: min(int(min(d.meta.NumDelivered, 1<<20))-1, c.group.MaxAttempts/2),
		message: Message{
			Subject: msg.Subject, Header: msg.Header, Data: msg.Data,
			Stream: d.meta.Stream, Sequence: sequence, Time: d.meta.Timestamp.UTC(),
		},
	}
	c.held[sequence] = it
	if !c.stopped {
		c.enqueue(ctx, it)
	}
}

// enqueue puts it into its lane. The caller holds mu.
func (c *Consumer) enqueue(ctx context.Context, it *item) {
	key := c.cfg.Key(it.message)
	l, ok := c.lanes[key]
	if !ok {
		l = &lane{key: key}
		c.lanes[key] = l
	}
	l.insert(it)
	if !ok {
		go c.work(ctx, l)
	}
}

// shut closes the gate and asks supervise to find out what is missing. The caller
// holds mu.
func (c *Consumer) shut() {
	if !c.gate.shut {
		c.shutFrom = time.Now()
	}
	c.gate.close()
	c.nudge()
}

func (c *Consumer) nudge() {
	select {
	case c.lapsed <- struct{}{}:
	default:
	}
}

// fail notes why messages stopped coming and asks supervise to look after it.
func (c *Consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setTrouble(err)
}

func (c *Consumer) setTrouble(err error) {
	c.trouble = err
	c.nudge()
}
