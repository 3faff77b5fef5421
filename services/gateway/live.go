package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"sluice/pkg/config"
	"sluice/pkg/endpoint"
	"sluice/services/gateway/live"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/registry/registryapi"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// EventStreams limits GET /v1/events.
type EventStreams struct {
	Heartbeat time.Duration `doc:"How often a silent stream shows that it lives."`
	Patience  time.Duration `doc:"A reader that does not take 64KiB in it is cut off."`
	PerCaller int           `doc:"Streams of one user or service at once." reload:"true"`
	Total     int           `doc:"Streams at once." reload:"true"`
}

func (s EventStreams) withDefaults() EventStreams {
	s.Heartbeat = cmp.Or(s.Heartbeat, 15*time.Second)
	s.Patience = cmp.Or(s.Patience, 10*time.Second)
	s.PerCaller = cmp.Or(s.PerCaller, 10)
	s.Total = cmp.Or(s.Total, 1000)
	return s
}

// Validate reports settings that make no sense.
func (s EventStreams) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"heartbeat": s.Heartbeat, "patience": s.Patience} {
		if d < 10*time.Millisecond || d > time.Hour {
			errs = append(errs, config.At(errors.New("must be from 10ms to 1h"), name))
		}
	}
	for name, n := range map[string]int{"per_caller": s.PerCaller, "total": s.Total} {
		if n < 1 {
			errs = append(errs, config.At(errors.New("must be at least 1"), name))
		}
	}
	return errors.Join(errs...)
}

// histories are what GET /v1/events streams, each with the endpoint that says who may
// see an aggregate of it. A new service with a history adds its own here.
func histories() []live.History {
	return []live.History{
		{Stream: streams.Users, Events: userapi.Events, Get: userapi.Get.Spec()},
		{Stream: streams.Orders, Events: orderapi.Events, Get: orderapi.Get.Spec()},
		{Stream: streams.Notifications, Events: notificationapi.Events},
		{Stream: streams.Services, Events: registryapi.Events},
		{Stream: streams.Alerts, Events: registryapi.AlertEvents},
	}
}

func (g *Gateway) newLive() *live.Handler {
	s := g.cfg.Settings
	return live.New(live.Config{
		Histories: g.cfg.Histories, JetStream: g.cfg.JetStream, Caller: g.cfg.Caller,
		Identify: g.identify, Fail: g.failLive, Log: g.cfg.Log, Timeout: s.Timeout,
		Heartbeat: s.Events.Heartbeat, Patience: s.Events.Patience, PerCaller: s.Events.PerCaller, Total: s.Events.Total,
	})
}

// failLive answers with 410 somebody who wants to go on from what is not there any more.
func (g *Gateway) failLive(w http.ResponseWriter, req *http.Request, err error) {
	if e, ok := errors.AsType[*endpoint.Error](err); ok && errors.Is(err, live.ErrGone) {
		err = &fault{status: http.StatusGone, err: e}
	}
	g.fail(w, req, err)
}

func liveOperation() operation {
	o := ownOperation("events", "Streams events as they are stored, as server-sent events; those of others to operators only.", endpoint.SignedIn)
	position := object{"type": "string", "example": "ORDERS=1234,USERS=9", "description": "The id of the last event that was received: what came after it comes first."}
	o.Parameters = append(o.Parameters,
		object{
			"name": "subject", "in": "query", "required": true, "style": "form", "explode": true,
			"description": "<entity>.<event or *>.<id or *>",
			"schema":      object{"type": "array", "minItems": 1, "maxItems": 20, "items": object{"type": "string", "example": "order.*.*"}},
		},
		object{"name": "last_event_id", "in": "query", "schema": position},
		object{"name": "Last-Event-ID", "in": "header", "schema": position, "description": "Counts before last_event_id."})
	o.Responses["200"] = answerOf("The events, each a CloudEvent in JSON format, until somebody hangs up.", "text/event-stream", object{"type": "string"})
	o.refused(http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusGone, http.StatusServiceUnavailable)
	return o
}
