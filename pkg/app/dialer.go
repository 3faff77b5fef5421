package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
)

// dialTimeout bounds connecting at start, over all the servers of a URL list.
const dialTimeout = 5 * time.Second

// A server that hangs, or whose machine has lost its network, keeps the connection open and
// answers nothing. One that has missed two pings, so for 4 to 6 seconds, is left for another.
const (
	pingInterval = 2 * time.Second
	pingsLost    = 2
)

// dialer makes every connection of the process, all of the same kind, and closes
// them at the end.
type dialer struct {
	server              *server.Server // embedded; nil when the process connects elsewhere
	url, creds, context string
	log                 *slog.Logger

	mu    sync.Mutex
	conns []*nats.Conn
}

// address is where the server is, for people: without a password.
func (d *dialer) address() string {
	switch {
	case d.server != nil:
		return d.server.ClientURL()
	case d.context != "":
		return "context " + d.context
	}
	return serverURL(d.serverURL()).Redacted()
}

func (d *dialer) serverURL() string {
	if d.url == "" {
		return nats.DefaultURL // with NATS_CREDS alone
	}
	return d.url
}

// dial connects once, without waiting for a server that is not there. From then on
// the connection comes back by itself, for ever.
func (d *dialer) dial(service, purpose string) (*nats.Conn, error) {
	servers := strings.Count(d.serverURL(), ",") + 1
	options := []nats.Option{
		nats.Name("sluice-" + service + "-" + purpose),
		nats.Timeout(dialTimeout / time.Duration(servers)),
		nats.RetryOnFailedConnect(false),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsLost),
	}
	options = append(options, watch(d.log.With("service", service, "connection", purpose))...)
	nc, err := d.connect(service, options)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", d.address(), withoutURL(err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, nc)
	return nc, nil
}

func (d *dialer) connect(service string, options []nats.Option) (*nats.Conn, error) {
	if d.context != "" {
		nc, _, err := natscontext.Connect(d.context, options...)
		return nc, err
	}
	// An inbox of its own lets a service be confined to it.
	options = append(options, nats.CustomInboxPrefix("_INBOX_"+service))
	if d.server != nil {
		return nats.Connect("", append(options, nats.InProcessServer(d.server))...)
	}
	if d.creds != "" {
		options = append(options, nats.UserCredentials(d.creds))
	}
	return nats.Connect(d.serverURL(), options...)
}

// withoutURL drops the address from a parse error: it may hold a password.
func withoutURL(err error) error {
	if parse, ok := errors.AsType[*url.Error](err); ok {
		return parse.Err
	}
	return err
}

// closeAll closes whatever the parts have not closed themselves.
func (d *dialer) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, nc := range d.conns {
		nc.Close()
	}
}

// watch logs what happens to a connection behind everybody's back.
func watch(log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			attrs := []any{"error", err}
			if sub != nil {
				attrs = append(attrs, "subject", sub.Subject)
			}
			switch {
			case errors.Is(err, nats.ErrPermissionViolation):
				log.Error("NATS refused a subject to this service's credentials", attrs...)
			case errors.Is(err, nats.ErrSlowConsumer):
				log.Warn("a subscription is too slow and loses messages", attrs...)
			default:
				log.Warn("NATS reported an error", attrs...)
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", "server", nc.ConnectedServerName())
		}),
	}
}
