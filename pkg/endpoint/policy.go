package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"

	"sluice/pkg/resilience"
)

// ErrNotTaken says that the service refused the request before it looked at it,
// because too many were waiting.
var ErrNotTaken = errors.New("the service did not take the request")

// headerNotTaken marks a reply of a service that did not take the request. The code
// alone does not tell: a handler may find half-way that something is unavailable.
const headerNotTaken = "Sluice-Not-Taken"

// With returns a caller on the same connection whose calls by [Call] and
// [Caller.Forward] go through policies, each through that of its endpoint. What the policy of a call refuses is unavailable, and
// [resilience.RefusedError] is its cause. Failed queries are repeated, as are failed
// commands that carry an idempotency key; other commands only when the service did not
// take them. [Caller.Request] goes through none.
func (c *Caller) With(policies *resilience.Set) *Caller {
	guarded := *c
	guarded.policies = policies
	return &guarded
}

// Hooks fit policies to calls: they classify errors by [Classify], and log every change of
// a breaker.
func Hooks(log *slog.Logger) resilience.Hooks {
	return resilience.Hooks{
		Classify: Classify,
		OnChange: func(c resilience.Change) {
			level := slog.LevelInfo
			attrs := []slog.Attr{
				slog.String("policy", c.Policy), slog.String("from", c.From.String()), slog.String("to", c.To.String()),
			}
			if c.To == resilience.Open {
				level, attrs = slog.LevelWarn, append(attrs, slog.Any("error", c.Cause))
			}
			log.LogAttrs(context.Background(), level, "circuit breaker changed", attrs...)
		},
	}
}

// Classify tells a policy what the error of a call says of the service. A lost
// connection to NATS says nothing of it, and neither does a request that is too large.
func Classify(err error) resilience.Verdict {
	e := coded(err)
	v := resilience.Verdict{Outcome: resilience.Answered, RetryAfter: e.RetryAfter}
	switch {
	case errors.Is(err, ErrNoResponders), errors.Is(err, ErrNotTaken):
		v.Outcome = resilience.NotTaken
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrTooLarge), errors.Is(err, context.Canceled):
		v.Outcome = resilience.Ignored
	case e.Code == CodeDeadline:
		v.Outcome = resilience.TimedOut
	case e.Code == CodeRateLimited:
		v.Outcome = resilience.Busy
	case e.Code == CodeUnavailable, e.Code.Status() == 500:
		v.Outcome = resilience.Failed
	}
	return v
}

// target is what a call is made to, as far as policies care.
type target struct {
	service, endpoint, subject string

	idempotent bool
	query      bool // changes nothing
}

func (m Method[Req, Res]) target() target {
	return target{m.Service, m.Name, m.Subject(), m.Idempotent, strings.HasPrefix(m.HTTP, "GET ")}
}

func (s Spec) target() target {
	return target{s.Service, s.Name, s.Subject, s.Idempotent, strings.HasPrefix(s.HTTP, "GET ")}
}

// repeatable says whether it does no harm to carry out this call twice. Without a key
// a command is not recognised when it comes again.
func (t target) repeatable(ctx context.Context, h nats.Header) bool {
	if !t.idempotent {
		return false
	}
	_, keyed := ctx.Value(idempotencyKey{}).(string)
	return keyed || t.query || len(h[HeaderIdempotencyKey]) > 0
}

// guard makes a call under its policy, if there is one.
func (c *Caller) guard(ctx context.Context, t target, h nats.Header, body []byte) (Reply, error) {
	return under(ctx, c, t, h, func(ctx context.Context) (Reply, error) { return c.Request(ctx, t.subject, h, body) })
}

// under runs an attempt to reach t under its policy, if there is one.
func under[T any](ctx context.Context, c *Caller, t target, h nats.Header, attempt func(context.Context) (T, error)) (T, error) {
	if c.policies == nil {
		return attempt(ctx)
	}
	policy := c.policies.For(t.service, t.endpoint)
	if t.repeatable(ctx, h) {
		policy = policy.Idempotent()
	}
	result, err := resilience.Do(ctx, policy, attempt)
	if err == nil {
		return result, nil
	}
	if refused, ok := errors.AsType[*resilience.RefusedError](err); ok {
		return result, Unavailable("Service temporarily unavailable").After(refused.RetryAfter).Because(err)
	}
	if _, ok := errors.AsType[*Error](err); !ok {
		err = c.transportError(t.subject, err)
	}
	return result, err
}
