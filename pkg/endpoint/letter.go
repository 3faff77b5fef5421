package endpoint

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// letter is a request to be sent.
type letter struct {
	subject, reply string

	header nats.Header // counts before what the context says
	body   []byte
}

// ready reports why no request can leave, if so.
func (c *Caller) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !c.nc.IsConnected() {
		return ErrUnreachable
	}
	return nil
}

// send publishes l with what ctx says; the caller waits for so long, or does not say.
func (c *Caller) send(ctx context.Context, l letter, left time.Duration) error {
	p := newParcel()
	defer p.free()
	p.msg.Subject, p.msg.Reply, p.msg.Data = l.subject, l.reply, l.body
	token := auth.TokenFrom(ctx)
	if c.token != nil && !auth.Asked(ctx) {
		var err error
		if token, err = c.token(ctx); err != nil {
			return fmt.Errorf("prove who asks: %w", err)
		}
	}
	if token != "" {
		p.set(HeaderAuthorization, bearer+token)
	}
	p.set(HeaderCorrelationID, event.MetadataFrom(ctx).CorrelationID)
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok {
		p.set(HeaderIdempotencyKey, key)
	}
	if s, ok := ctx.Value(sessionKey{}).(*session); ok {
		p.set(HeaderPosition, s.positions())
	}
	if left != 0 {
		p.set(HeaderTimeout, strconv.FormatInt(max(left.Milliseconds(), 1), 10))
	}
	telemetry.Inject(ctx, p.msg.Header)
	maps.Copy(p.msg.Header, l.header)
	if err := c.nc.PublishMsg(&p.msg); err != nil {
		return c.transportError(l.subject, err)
	}
	return nil
}
