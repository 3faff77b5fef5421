package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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

// transportError tells the ways apart in which there is no answer.
func (c *Caller) transportError(subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return Unavailable("nobody serves " + subject).Because(ErrNoResponders)
	case errors.Is(err, ErrUnreachable):
		return Unavailable(ErrUnreachable.Error()).Because(ErrUnreachable)
	case errors.Is(err, context.Canceled):
		return Unavailable("the request was cancelled").Because(context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		if !c.nc.IsConnected() {
			return Unavailable(ErrUnreachable.Error()).Because(ErrUnreachable)
		}
		return Deadline(subject + " did not answer in time").Because(context.DeadlineExceeded)
	case errors.Is(err, nats.ErrMaxPayload):
		return Invalid("the request is larger than NATS takes").Because(ErrTooLarge)
	case errors.Is(err, ErrGap):
		return Unavailable(ErrGap.Error()).Because(err)
	case !c.nc.IsConnected(), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrConnectionDraining):
		return Unavailable(ErrUnreachable.Error()).Because(fmt.Errorf("%w: %w", ErrUnreachable, err))
	default:
		return fmt.Errorf("request: %w", err)
	}
}

// notNow reports whether NATS had a handler wait in vain: nobody has the stream, a cluster
// elects a leader, or there is no connection. What was asked of it may have been done.
func notNow(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 503
	}
	return slices.ContainsFunc(goneErrors, func(gone error) bool { return errors.Is(err, gone) })
}

var goneErrors = []error{
	nats.ErrNoResponders, jetstream.ErrNoStreamResponse, nats.ErrNoServers,
	nats.ErrDisconnected, nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrConnectionReconnecting,
}

// The status that NATS answers with when nobody listens.
const (
	headerStatus = "Status"
	noResponders = "503"
)

func nobodyServes(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get(headerStatus) == noResponders
}
