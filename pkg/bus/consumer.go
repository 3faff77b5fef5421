package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Consumer runs the handlers of one group; make it with [Consume].
type Consumer struct {
	js       jetstream.JetStream
	group    Group                 // what of it does not change
	tuned    atomic.Pointer[Group] // all of it, as it is now: see Tune
	cfg      Config
	handlers handlers
	invalid  error // what Start says about the handlers

	giveUp   func(context.Context, DeadLetter) error // stores the letter of a message that is given up
	redriven *Consumer                               // of the group's redriven letters; nil when it takes none

	source  jetstream.Consumer
	state   jetstream.KeyValue // see StateBucket
	ackWait time.Duration
	pull    *puller
	spans   map[string]spanning // by event type
	meters  meters

	spawn      func()             // starts a worker
	unmeasure  func()             // ends what measure began
	cancelRun  context.CancelFunc // ends the handlers' context, when draining runs out of time
	stopping   chan struct{}      // closed when no further handler may start
	over       chan struct{}      // closed when stopped and nothing of it runs any more
	ended      chan struct{}      // closed when the background goroutines have to go
	lapsed     chan struct{}      // nudges supervise: look at the consumer now
	background sync.WaitGroup

	mu      sync.Mutex
	started bool
	stopped bool
	rested  bool             // over is closed
	held    map[uint64]*item // by stream sequence
	dispatcher
	acks     acks
	gate     gate
	limbo    []*item // delivered, and not yet known what to make of it
	settled  recent
	parked   parked
	position position // as recorded last
	astray   position // a record that was none of the stream's
	latest   uint64   // highest stream sequence delivered
	declared jetstream.ConsumerConfig
	missed   int    // how often the consumer was not there
	moved    bool   // the consumer's deliveries were numbered anew
	skipped  error  // what the group lost for ever
	last     uint64 // consumer sequence of the latest delivery
	trouble  error  // why no messages come
	consumed int64  // deliveries
	seen     seen   // of the consumer
	shutFrom time.Time
}

// Consume returns a consumer of g that runs the handlers. Nothing happens before
// Start.
func Consume(js jetstream.JetStream, g Group, cfg Config, list ...Handler) *Consumer {
	all, err := newHandlers(js, g.Name, list)
	err = errors.Join(err, g.Validate())
	g = g.WithDefaults()
	if g.Stream == TimerStream && cfg.Read == nil {
		cfg.Read = readDue
	}
	if g.Stream == DeadLetterStream && g.Order == Park {
		g.Order = Hold // what is redriven is what was parked
	}
	c := &Consumer{
		js: js, group: g, cfg: cfg.withDefaults(), handlers: all, invalid: err,
		stopping: make(chan struct{}), over: make(chan struct{}), ended: make(chan struct{}),
		lapsed: make(chan struct{}, 1), held: make(map[uint64]*item),
	}
	c.tuned.Store(&g)
	c.lanes = make(map[string]*lane)
	c.work = sync.NewCond(&c.mu)
	c.gate = newGate(c.regate)
	c.spans = spannings(g, all)
	c.meters, err = newMeters(c.cfg.Meters, g, all)
	c.unmeasured(err)
	c.giveUp = func(ctx context.Context, letter DeadLetter) error { return PublishDeadLetter(ctx, js, letter) }
	if g.Redrive {
		c.redriven = newRedriven(js, g, c.cfg, all)
	}
	return c
}

// Start binds to the durable consumer and begins to handle. It fails when the
// consumer is absent, when its configuration cannot keep what this package promises,
// or when it does not deliver exactly the types that have handlers. A consumer that
// was made anew since the group last ran is moved to where the group was. If that
// cannot be right, nothing is handled and Health says why, with [ErrPosition], until an
// operator removes the key position.<stream>.<group> from [StateBucket]: then the
// group begins where its consumer stands. A consumer is started once. ctx bounds Start
// alone.
func (c *Consumer) Start(ctx context.Context) error {
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("group %s on stream %s: %w", c.group.Name, c.group.Stream, err)
	}
	return c.startRedriven(ctx)
}

func (c *Consumer) start(ctx context.Context) error {
	if c.invalid != nil {
		return c.invalid
	}
	source, err := c.js.Consumer(ctx, c.group.Stream, c.group.Name)
	if err != nil {
		return fmt.Errorf("bind to the consumer: %w", err)
	}
	if err := c.check(source.CachedInfo().Config); err != nil {
		return err
	}
	if c.state, err = openState(ctx, c.js); err != nil {
		return err
	}
	c.source = source
	info, err := c.locate(ctx)
	astray := errors.Is(err, ErrPosition)
	if err != nil && !astray {
		return err
	}
	wrong := err
	if err := c.loadParked(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	if c.started || c.stopped {
		c.mu.Unlock()
		return errors.New("a consumer is started once")
	}
	c.started = true
	c.ackWait = info.Config.AckWait
	c.settled = newRecent(max(info.Config.MaxAckPending, pullBatch))
	c.last, c.shutFrom = info.Delivered.Consumer, time.Now()
	c.assess(info)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancelRun, c.spawn = cancel, func() { go c.worker(run) }
	c.alarm = stoppedTimer(c.ring)
	c.acks.linger = stoppedTimer(c.lingered)
	c.pace = newPace(*c.tuned.Load(), c.resume)
	c.mu.Unlock()

	c.pull = newPuller(c.js, info.Config, c.group.Stream)
	c.pull.deliver, c.pull.trouble = c.receive, c.fail
	if err := c.pull.start(); err != nil {
		cancel()
		c.mu.Lock()
		c.started = false
		c.mu.Unlock()
		return err
	}
	if astray {
		c.fail(wrong)
	} else {
		c.pull.restart()
	}
	c.unmeasure = c.measure()
	c.background.Go(func() { c.supervise(run) })
	c.background.Go(c.keepAlive)
	return nil
}

// stoppedTimer returns a timer that calls f once it is reset.
func stoppedTimer(f func()) *time.Timer {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return t
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
	case c.group.Order == Any && cfg.PriorityPolicy == jetstream.PriorityPolicyPinned:
		return errors.New("the consumer is pinned to one client, so its messages are not shared")
	case c.handlers.message != nil:
		return nil
	}
	filters := cfg.FilterSubjects
	if cfg.FilterSubject != "" {
		filters = []string{cfg.FilterSubject}
	}
	if c.group.Stream == TimerStream {
		return c.checkDue(filters)
	}
	if route := c.group.Route; route != nil {
		if want := route.filters(c.handlers.types()); !slices.Equal(slices.Sorted(slices.Values(filters)), want) {
			return fmt.Errorf("the consumer filters on %v, and the group is routed %v: the setup of streams brings it in line", filters, want)
		}
		return nil
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
