package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/auth"
	"sluice/pkg/event"
	"sluice/pkg/resilience"
)

// ServiceConfig says what a service is and how much it takes on.
type ServiceConfig struct {
	Name        string // "order"; required
	Version     string // semantic version; required
	Description string

	Log *slog.Logger // default: discards

	Concurrency int           // requests of one endpoint that run at once; default 64
	Queue       int           // requests of one endpoint that wait for their turn; default 1,024, negative: none
	Timeout     time.Duration // for a caller that sets no deadline; default 10 s
	MaxTimeout  time.Duration // the most a caller may ask for; default 30 s

	// Verify returns whom a token belongs to, or why it is no good: an [*Error], as a
	// rule unauthenticated. Without it every token is refused.
	Verify func(ctx context.Context, token string) (auth.Identity, error)

	// Health are the checks behind svc.<name>.health, by name; nil means well.
	Health map[string]func() error
	// Policies, if there are any, show their breakers in svc.<name>.health. One that is
	// open does not make the service fail.
	Policies *resilience.Set

	// Meters take what the endpoints do, in OpenTelemetry's way: package telemetry has
	// the names. The default is the process's provider.
	Meters metric.MeterProvider
}

// Server serves the endpoints of one service on a connection of its own. It is
// visible to `nats micro ls`. Several instances share the requests.
type Server struct {
	nc       *nats.Conn
	cfg      ServiceConfig
	handlers []Handler

	base    context.Context  //nolint:containedctx // of every request: what Start's says, and that nobody asks
	lanes   map[string]*lane // by endpoint name
	service micro.Service
	before  int // subscriptions of nc that are not micro's
	early   early

	meters    meters
	unmeasure func() // nil: nothing is measured
}

// Serve returns a server for handlers and for svc.<name>.health. It panics when a
// handler belongs to another service or is there twice: mistakes in the program. nc
// must serve nothing else, since stopping drains and closes it.
func Serve(nc *nats.Conn, cfg ServiceConfig, handlers ...Handler) *Server {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 64)
	cfg.Queue = cmp.Or(cfg.Queue, 1024)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.MaxTimeout = cmp.Or(cfg.MaxTimeout, 30*time.Second)
	if cfg.Meters == nil {
		cfg.Meters = otel.GetMeterProvider()
	}
	s := &Server{nc: nc, cfg: cfg, lanes: make(map[string]*lane, len(handlers)+1), meters: newMeters(cfg.Meters)}
	s.handlers = append(slices.Clip(handlers), Handle(Health(cfg.Name), s.health))
	for _, h := range s.handlers {
		if h.spec.Service != cfg.Name {
			panic(fmt.Sprintf("endpoint %s does not belong to service %q", h.spec.Subject, cfg.Name))
		}
		if s.lanes[h.spec.Name] != nil {
			panic(fmt.Sprintf("endpoint %s is served twice", h.spec.Subject))
		}
		of := attributesOf(cfg.Name, h.spec.Subject)
		s.lanes[h.spec.Name] = &lane{
			concurrency: cfg.Concurrency, limit: max(cfg.Queue, 0), streaming: h.spec.Streaming,
			span: []trace.SpanStartOption{asServer, trace.WithAttributes(of...)}, outcomes: outcomesOf(of),
			observed: metric.WithAttributeSet(attribute.NewSet(of...)),
		}
	}
	return s
}

// Start subscribes and returns when the NATS server knows: from then on requests
// arrive. When it fails the connection is closed.
func (s *Server) Start(ctx context.Context) error {
	s.base = auth.With(context.WithoutCancel(ctx), auth.Identity{}, "")
	if err := s.start(ctx); err != nil {
		s.nc.Close()
		return fmt.Errorf("serve %s: %w", s.cfg.Name, err)
	}
	s.unmeasure = s.measure()
	return nil
}

func (s *Server) start(ctx context.Context) error {
	_, err := s.nc.Subscribe(requestsSubject(s.cfg.Name, "*"), s.hear)
	if err != nil {
		return fmt.Errorf("%s: %w", requestsSubject(s.cfg.Name, "*"), err)
	}
	s.before = s.nc.NumSubscriptions()
	s.service, err = micro.AddService(s.nc, micro.Config{
		Name: s.cfg.Name, Version: s.cfg.Version, Description: s.cfg.Description,
		StatsHandler: func(e *micro.Endpoint) any { return s.stats(e.Name) },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			s.cfg.Log.WarnContext(s.base, "endpoint subscription failed", "subject", err.Subject, "error", err)
		},
	})
	if err != nil {
		return err
	}
	for _, h := range s.handlers {
		l := s.lanes[h.spec.Name]
		l.run = func(r *request) { s.answer(h, l, r) }
		err := s.service.AddEndpoint(h.spec.Name, micro.HandlerFunc(func(r micro.Request) { s.take(l, r) }),
			micro.WithEndpointSubject(h.spec.Subject), micro.WithEndpointMetadata(h.spec.metadata()))
		if err != nil {
			return fmt.Errorf("%s: %w", h.spec.Subject, err)
		}
	}
	if err := flush(ctx, s.nc); err != nil {
		return err
	}
	if err := s.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nil
}

// take runs in micro's callback, one at a time per endpoint, so it never blocks.
func (s *Server) take(l *lane, m micro.Request) {
	r := &request{reply: m.Reply(), header: nats.Header(m.Headers()), body: m.Data(), arrived: time.Now()}
	if l.streaming {
		r.out = &outflow{nc: s.nc, reply: r.reply, patience: s.cfg.Timeout, credit: make(chan struct{}, 1)}
	}
	switch {
	case s.early.gaveUp(r.reply, r.arrived):
		l.stats.cancelled.Add(1)
	case !l.offer(r):
		l.stats.refused.Add(1)
		s.refuse(l, r)
	}
}

// refuse answers that there is no room.
func (s *Server) refuse(l *lane, r *request) {
	if r.reply == "" {
		return
	}
	p := newParcel()
	defer p.free()
	p.msg.Subject = r.reply
	correlation := r.header.Get(HeaderCorrelationID)
	if !ValidCorrelationID(correlation) {
		correlation = event.NewID()
	}
	p.set(HeaderCorrelationID, correlation)
	p.set(headerNotTaken, "true")
	p.msg.Data = Unavailable("too many requests are waiting").After(time.Second).address(p)
	if l.streaming {
		p.set(headerProblem, string(p.msg.Data))
		p.set(headerSequence, "1")
		p.msg.Data = nil
	}
	s.lost(s.base, s.nc.PublishMsg(&p.msg))
}

const drainPoll = 5 * time.Millisecond

// Stop takes no new requests, which go to other instances from then on, answers those
// that have arrived, sends the answers and closes the connection. When ctx ends first
// the contexts of running requests end too, their callers get what that leads to, and
// Stop returns an error.
func (s *Server) Stop(ctx context.Context) error {
	defer s.nc.Close()
	if s.service == nil {
		return nil
	}
	if s.unmeasure != nil {
		defer s.unmeasure()
	}
	if err := s.service.Stop(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop serving %s: %w", s.cfg.Name, err)
	}
	drainErr := s.awaitDelivered(ctx)
	for _, l := range s.lanes {
		l.close()
	}
	busy := s.unfinished()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		for _, l := range s.lanes {
			l.workers.Wait()
		}
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		left := s.unfinished()
		s.abandon()
		s.awaitAbandoned(context.WithoutCancel(ctx), idle)
		return fmt.Errorf("stop serving %s: %d requests did not finish: %w", s.cfg.Name, left, context.Cause(ctx))
	}
	if drainErr != nil {
		return fmt.Errorf("stop serving %s: %w", s.cfg.Name, drainErr)
	}
	if !s.nc.IsConnected() {
		if busy > 0 {
			return fmt.Errorf("stop serving %s: %w: up to %d replies are lost", s.cfg.Name, ErrUnreachable, busy)
		}
		return nil
	}
	if err := flush(ctx, s.nc); err != nil {
		return fmt.Errorf("stop serving %s: send the last replies: %w", s.cfg.Name, err)
	}
	return nil
}

// awaitDelivered returns when every request that the NATS server has sent here is in
// a lane. A draining subscription goes away once the server has confirmed the
// unsubscription and the last callback has returned; nobody tells us, so we look.
// Without a connection nothing more arrives.
func (s *Server) awaitDelivered(ctx context.Context) error {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for s.nc.IsConnected() && s.nc.NumSubscriptions() > s.before {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("unsubscribe: %w", context.Cause(ctx))
		}
	}
	return nil
}

// grace is how long handlers have to notice that their context has ended.
const grace = time.Second

func (s *Server) awaitAbandoned(ctx context.Context, idle <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-idle:
		if err := flush(ctx, s.nc); err != nil {
			s.cfg.Log.WarnContext(ctx, "replies may be lost", "error", err)
		}
	case <-ctx.Done():
	}
}

// abandon ends the context of every request.
func (s *Server) abandon() {
	for _, l := range s.lanes {
		l.abandon()
	}
}

func (s *Server) unfinished() int {
	n := 0
	for _, l := range s.lanes {
		n += l.unfinished()
	}
	return n
}

// flush waits until the NATS server has everything that was sent.
func flush(ctx context.Context, nc *nats.Conn) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	return nc.FlushWithContext(ctx)
}
