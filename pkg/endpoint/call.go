package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"sluice/pkg/resilience"
)

// CallerConfig has the settings of a [Caller].
type CallerConfig struct {
	// Timeout is how long a call waits whose context has no deadline, and how long a
	// stream waits for its next sign of life; default 5 s.
	Timeout time.Duration
	// Token returns what proves who this process is, for calls in whose context nobody
	// asks. Without it such calls are anonymous.
	Token func(ctx context.Context) (string, error)
	// Meters take what the calls do, in OpenTelemetry's way: package telemetry has the
	// names. The default is the process's provider.
	Meters metric.MeterProvider
}

// Caller sends requests. It is safe for concurrent use; a process needs one. Its replies
// arrive on one subscription, from the first call until the connection closes.
type Caller struct {
	nc       *nats.Conn
	mux      *mux
	timeout  time.Duration
	token    func(ctx context.Context) (string, error)
	policies *resilience.Set // nil: none
	meters   *callMeters
}

// NewCaller returns a caller on nc, which it shares with others and never closes. Who
// drains nc ends the calls that are under way.
func NewCaller(nc *nats.Conn, cfg CallerConfig) *Caller {
	if cfg.Meters == nil {
		cfg.Meters = otel.GetMeterProvider()
	}
	return &Caller{
		nc: nc, mux: &mux{nc: nc}, timeout: cmp.Or(cfg.Timeout, 5*time.Second), token: cfg.Token, meters: newCallMeters(cfg.Meters),
	}
}

// Call asks the service of m and returns its answer. Deadline, trace, correlation id
// and the token of ctx go along; without one in ctx, the process's own. When ctx is
// cancelled, the service is told to stop. The request is not checked here: the service
// does. Every error about the request has an [*Error]; [ErrNoResponders],
// [ErrUnreachable], [ErrNotTaken] and, with policies, [resilience.RefusedError] tell why
// something is unavailable.
func Call[Req, Res any](ctx context.Context, c *Caller, m Method[Req, Res], req Req) (Res, error) {
	var res Res
	t := m.target()
	body := newPage()
	defer body.free()
	if err := json.MarshalWrite(body, req, json.Deterministic(true)); err != nil {
		return res, fmt.Errorf("call %s: encode the request: %w", t.subject, err)
	}
	reply, err := c.guard(ctx, t, nil, body.Bytes())
	if err != nil {
		return res, fmt.Errorf("call %s: %w", t.subject, err)
	}
	if err := json.Unmarshal(reply.Body, &res); err != nil {
		var none Res
		return none, fmt.Errorf("call %s: decode the response: %w", t.subject, err)
	}
	return res, nil
}

// Reply is what came back. With an error of the service it has the error's headers.
type Reply struct {
	Header nats.Header
	Body   []byte
}

// Forward is [Call] for those who hold the body already and know the method by its
// spec. Headers that are set in h count before what ctx says.
func (c *Caller) Forward(ctx context.Context, s Spec, h nats.Header, body []byte) (Reply, error) {
	return c.guard(ctx, s.target(), h, body)
}

// Request is [Call] for those who hold the body already. Headers that are set in h
// count before what ctx says.
func (c *Caller) Request(ctx context.Context, subject string, h nats.Header, body []byte) (Reply, error) {
	a := c.meters.begin(ctx, subject)
	reply, err := c.request(a.ctx, subject, h, body)
	a.end(err)
	return reply, err
}

// pending is a call that waits for its reply. It is used again.
type pending struct {
	reply chan *nats.Msg // nil when it is lost
	lost  error
	timer *time.Timer
}

var pendings = sync.Pool{New: func() any {
	timer := time.NewTimer(0)
	timer.Stop()
	return &pending{reply: make(chan *nats.Msg, 1), timer: timer}
}}

func (c *Caller) request(ctx context.Context, subject string, h nats.Header, body []byte) (Reply, error) {
	answer, err := c.exchange(ctx, subject, h, body)
	if err != nil {
		return Reply{}, err
	}
	if s, ok := ctx.Value(sessionKey{}).(*session); ok {
		s.remember(answer.Header.Get(HeaderPosition))
	}
	reply := Reply{Header: answer.Header, Body: answer.Data}
	if e := errorFrom(answer.Header, answer.Data); e != nil {
		if answer.Header.Get(headerNotTaken) != "" {
			_ = e.Because(ErrNotTaken)
		}
		return reply, e
	}
	return reply, nil
}

// exchange sends a request and returns what comes back.
func (c *Caller) exchange(ctx context.Context, subject string, h nats.Header, body []byte) (*nats.Msg, error) {
	if err := c.ready(ctx); err != nil {
		return nil, c.transportError(subject, err)
	}
	p, _ := pendings.Get().(*pending)
	defer pendings.Put(p)
	reply, token, err := c.mux.expect(p)
	if err != nil {
		return nil, c.transportError(subject, err)
	}
	answer, err := c.await(ctx, p, letter{subject, reply, h, body})
	if err != nil {
		if c.mux.forget(token) {
			c.giveUp(subject, reply, err)
			return nil, err
		}
		answer = <-p.reply // it came at the last moment
	}
	switch {
	case answer == nil:
		return nil, c.transportError(subject, p.lost)
	case nobodyServes(answer):
		return nil, c.transportError(subject, nats.ErrNoResponders)
	default:
		return answer, nil
	}
}

// await sends the request and waits for p's reply, which is nil when it is lost.
func (c *Caller) await(ctx context.Context, p *pending, l letter) (*nats.Msg, error) {
	left := c.timeout
	deadline, ok := ctx.Deadline()
	if ok {
		left = time.Until(deadline)
	}
	if err := c.send(ctx, l, left); err != nil {
		return nil, err
	}
	if !ok {
		p.timer.Reset(left)
		defer p.timer.Stop()
	}
	select {
	case answer := <-p.reply:
		return answer, nil
	case <-p.timer.C:
		return nil, c.transportError(l.subject, context.DeadlineExceeded)
	case <-ctx.Done():
		return nil, c.transportError(l.subject, ctx.Err())
	}
}
