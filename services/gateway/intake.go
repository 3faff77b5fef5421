package gateway

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// eventsPath takes CloudEvents in the HTTP protocol binding.
const eventsPath = "/v1/events"

// accept takes one CloudEvent, in binary or structured mode, and publishes it to the
// intake of its entity. 202 says that it is stored there; the owning service judges
// it then, and what it refuses is in the dead letters. Only operators may do this, since
// an event says what happened to anybody. Who asked is not for the event to say.
func (g *Gateway) accept(w http.ResponseWriter, req *http.Request) {
	ctx, err := g.identify(req)
	if err == nil {
		err = endpoint.Operator.Check(auth.From(ctx))
	}
	if err != nil {
		g.fail(w, req, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Settings.Timeout)
	defer cancel()
	e, err := g.cloudEvent(w, req)
	if err != nil {
		g.fail(w, req, err)
		return
	}
	stream, ok := g.cfg.Intakes[e.Entity()]
	if !ok || event.CheckType(e.Type) != nil {
		g.fail(w, req, invalid("type", "is not one that is taken in"))
		return
	}
	e.UserID = auth.From(ctx).User
	if e.CorrelationID == "" {
		e.CorrelationID = event.MetadataFrom(ctx).CorrelationID
	}
	if e.TraceParent == "" {
		e.TraceParent, e.TraceState = telemetry.TraceParent(ctx)
	}
	header, body := event.Encode(e)
	_, err = g.cfg.JetStream.PublishMsg(ctx, &nats.Msg{Subject: e.Type, Header: header, Data: body}, jetstream.WithExpectStream(stream))
	if err != nil {
		g.fail(w, req, publishError(err))
		return
	}
	g.write(w, req, http.StatusAccepted, "application/json", []byte("{}"))
}

// cloudEvent reads the event. HTTP headers of the binary mode are those of the NATS
// binding.
func (g *Gateway) cloudEvent(w http.ResponseWriter, req *http.Request) (event.Event, error) {
	body, err := g.read(w, req)
	if err != nil {
		return event.Event{}, err
	}
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && media != "application/cloudevents+json" {
		return event.Event{}, newFault(http.StatusUnsupportedMediaType,
			"the content type must be application/cloudevents+json, or application/json with ce- headers")
	}
	header := nats.Header{"content-type": req.Header.Values("Content-Type")}
	for name, values := range req.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "ce-") {
			header[lower] = values
		}
	}
	if media == "application/json" && header["ce-specversion"] == nil {
		return event.Event{}, endpoint.Invalid("not a CloudEvent", endpoint.FieldError{Field: "ce-specversion", Message: "is required"})
	}
	e, err := event.Decode(header, body)
	if err != nil {
		return event.Event{}, endpoint.Invalid(err.Error())
	}
	return e, nil
}

func publishError(err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		if api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum {
			return newFault(http.StatusRequestEntityTooLarge, "the event is larger than the intake takes")
		}
		return endpoint.Unavailable("the intake does not take events now").Because(err)
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return newFault(http.StatusRequestEntityTooLarge, "the event is larger than NATS takes")
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return endpoint.Unavailable("the intake is not there").Because(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return endpoint.Deadline("the intake did not answer in time: whether it has the event is unknown").Because(err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrDisconnected):
		return endpoint.Unavailable(endpoint.ErrUnreachable.Error()).Because(err)
	default:
		return fmt.Errorf("publish to the intake: %w", err)
	}
}
