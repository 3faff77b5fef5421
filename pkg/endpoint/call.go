package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/auth"
	"sluice/pkg/event"
	"sluice/pkg/resilience"
	"sluice/pkg/telemetry"
)

// ErrNoResponders says that no instance of the service is running. The request was
// not carried out.
var ErrNoResponders = errors.New("no responders")

// ErrUnreachable says that there is no connection to NATS. When it was there as the
// request left, the request may have been carried out.
var ErrUnreachable = errors.New("NATS is unreachable")

// ErrTooLarge says that the request is larger than NATS takes, 1 MiB with its headers
// unless the server is set up otherwise.
var ErrTooLarge = errors.New("larger than NATS takes")

// CallerConfig has the settings of a [Caller].
type CallerConfig struct {
	Timeout time.Duration // for a context without a deadline; default 5 s
	// Token returns what proves who this process is, for calls in whose context nobody
	// asks. Without it such calls are anonymous.
	Token func(ctx context.Context) (string, error)
}

// Caller sends requests. It is safe for concurrent use; a process needs one.
type Caller struct {
	nc       *nats.Conn
	timeout  time.Duration
	token    func(ctx context.Context) (string, error)
	policies *resilience.Set // nil: none
}

// NewCaller returns a caller on nc, which it shares with others and never closes.
func NewCaller(nc *nats.Conn, cfg CallerConfig) *Caller {
	return &Caller{nc: nc, timeout: cmp.Or(cfg.Timeout, 5*time.Second), token: cfg.Token}
}

// Call asks the service of m and returns its answer. Deadline, trace, correlation id
// and the token of ctx go along; without one in ctx, the process's own. The request is not checked here: the service does. Every
// error about the request has an [*Error]; [ErrNoResponders], [ErrUnreachable],
// [ErrNotTaken] and, with policies, [resilience.RefusedError] tell why something is
// unavailable.
func Call[Req, Res any](ctx context.Context, c *Caller, m Method[Req, Res], req Req) (Res, error) {
	var res Res
	body, err := json.Marshal(req, json.Deterministic(true))
	if err != nil {
		return res, fmt.Errorf("call %s: encode the request: %w", m.Subject(), err)
	}
	reply, err := c.guard(ctx, m.target(), nil, body)
	if err != nil {
		return res, fmt.Errorf("call %s: %w", m.Subject(), err)
	}
	if err := json.Unmarshal(reply.Body, &res); err != nil {
		var none Res
		return none, fmt.Errorf("call %s: decode the response: %w", m.Subject(), err)
	}
	return res, nil
}

// Reply is what came back. With an error of the service it has the error's headers.
type Reply struct {
	Header nats.Header
	Body   []byte
}

// Request is [Call] for those who hold the body already. Headers that are set in h
// count before what ctx says.
func (c *Caller) Request(ctx context.Context, subject string, h nats.Header, body []byte) (Reply, error) {
	ctx, span := telemetry.Start(ctx, subject, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	reply, err := c.request(ctx, subject, h, body)
	if err != nil {
		span.SetStatus(codes.Error, string(CodeOf(err)))
	}
	return reply, err
}

func (c *Caller) request(ctx context.Context, subject string, h nats.Header, body []byte) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, c.transportError(subject, err)
	}
	if !c.nc.IsConnected() {
		return Reply{}, Unavailable(ErrUnreachable.Error()).Because(ErrUnreachable)
	}
	header, err := c.headers(ctx, h)
	if err != nil {
		return Reply{}, err
	}
	msg := &nats.Msg{Subject: subject, Header: header, Data: body}
	answer, err := c.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return Reply{}, c.transportError(subject, err)
	}
	reply := Reply{Header: answer.Header, Body: answer.Data}
	if s, ok := ctx.Value(sessionKey{}).(*session); ok {
		s.remember(answer.Header.Get(HeaderPosition))
	}
	if e := errorFrom(answer); e != nil {
		if answer.Header.Get(headerNotTaken) != "" {
			_ = e.Because(ErrNotTaken)
		}
		return reply, e
	}
	return reply, nil
}

// Forward is [Call] for those who hold the body already and know the method by its
// spec. Headers that are set in h count before what ctx says.
func (c *Caller) Forward(ctx context.Context, s Spec, h nats.Header, body []byte) (Reply, error) {
	return c.guard(ctx, s.target(), h, body)
}

func (c *Caller) headers(ctx context.Context, given nats.Header) (nats.Header, error) {
	h := make(nats.Header, len(given)+8)
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	token := auth.TokenFrom(ctx)
	if token == "" && c.token != nil {
		var err error
		if token, err = c.token(ctx); err != nil {
			return nil, fmt.Errorf("prove who asks: %w", err)
		}
	}
	if token != "" {
		h[HeaderAuthorization] = []string{bearer + token}
	}
	set(HeaderCorrelationID, event.MetadataFrom(ctx).CorrelationID)
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok {
		set(HeaderIdempotencyKey, key)
	}
	if s, ok := ctx.Value(sessionKey{}).(*session); ok {
		set(HeaderPosition, s.positions())
	}
	if deadline, ok := ctx.Deadline(); ok {
		set(HeaderTimeout, strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10))
	}
	telemetry.Inject(ctx, h)
	maps.Copy(h, given)
	return h, nil
}

// transportError tells the ways apart in which there is no answer.
func (c *Caller) transportError(subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return Unavailable("nobody serves " + subject).Because(ErrNoResponders)
	case errors.Is(err, context.Canceled):
		return Unavailable("the request was cancelled").Because(context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		if !c.nc.IsConnected() {
			return Unavailable(ErrUnreachable.Error()).Because(ErrUnreachable)
		}
		return Deadline(subject + " did not answer in time").Because(context.DeadlineExceeded)
	case errors.Is(err, nats.ErrMaxPayload):
		return Invalid("the request is larger than NATS takes").Because(ErrTooLarge)
	case !c.nc.IsConnected(), errors.Is(err, nats.ErrConnectionDraining):
		return Unavailable(ErrUnreachable.Error()).Because(fmt.Errorf("%w: %w", ErrUnreachable, err))
	default:
		return fmt.Errorf("request: %w", err)
	}
}

// errorFrom returns the error that a reply carries, or nil. Services that are not
// written with this package have the status alone.
func errorFrom(m *nats.Msg) *Error {
	status := m.Header.Get(headerErrorCode)
	if status == "" {
		return nil
	}
	var w wireError
	if err := json.Unmarshal(m.Data, &w); err == nil && w.Code != "" {
		return &Error{
			Code: w.Code, Message: w.Message, Fields: w.Fields, RetryAfter: time.Duration(w.RetryAfterMS) * time.Millisecond,
			stale: status == "412",
		}
	}
	for _, code := range []Code{
		CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeConflict,
		CodeRateLimited, CodeUnavailable, CodeDeadline,
	} {
		if status == strconv.Itoa(code.Status()) {
			return &Error{Code: code, Message: m.Header.Get(headerError)}
		}
	}
	return &Error{Code: CodeInternal, Message: m.Header.Get(headerError)}
}

type idempotencyKey struct{}

// WithIdempotencyKey returns a context whose calls carry key: a command that is
// called twice with it happens once. It does not reach what the service calls in turn.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

type sessionKey struct{}

// session remembers what its calls wrote.
type session struct {
	mu    sync.Mutex
	wrote []Position
}

// ReadYourWrites returns a context whose calls form a session: what one of them wrote
// the later ones take into account, waiting for read models as long as their deadline
// allows.
func ReadYourWrites(ctx context.Context) context.Context {
	return context.WithValue(ctx, sessionKey{}, &session{})
}

func (s *session) remember(header string) {
	positions, err := parsePositions(header)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range positions {
		s.wrote = reach(s.wrote, p)
	}
}

func (s *session) positions() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return joinPositions(s.wrote)
}
