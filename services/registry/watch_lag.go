package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

// lag is how much is not handled yet, and how long the first of it has been waiting.
type lag struct {
	messages uint64
	waiting  time.Duration
}

// lagLimit is the most that anything may be behind.
type lagLimit lag

func (limit lagLimit) judge(l lag) finding {
	waiting := l.waiting.Round(time.Second)
	switch {
	case l.messages > limit.messages:
		return finding{over, fmt.Sprintf("%s behind, more than %d", number(l.messages, "message"), limit.messages)}
	case l.waiting > limit.waiting:
		return finding{over, fmt.Sprintf("%s behind, the first for %s, longer than %s", number(l.messages, "message"), waiting, limit.waiting)}
	default:
		return finding{within, number(l.messages, "message") + " behind"}
	}
}

// consumerWatcher looks how far behind each durable consumer is. It reads no messages,
// so for how long the first has been waiting it sees by itself: since the consumer has
// had something to do and has not finished its first message.
type consumerWatcher struct {
	js        jetstream.JetStream
	consumers []bus.Group
	limit     lagLimit
	stuck     map[string]stuckAt // by consumer
}

// stuckAt is the last message before the first that is not handled, and since when.
type stuckAt struct {
	floor uint64
	since time.Time
}

// groupsAndRedrives returns the consumers of groups, and those of what is redriven.
func groupsAndRedrives(groups []bus.Group) []bus.Group {
	all := slices.Clone(groups)
	for _, g := range groups {
		if name, _ := bus.RedriveConsumer(g.Name); g.Redrive {
			all = append(all, bus.Group{Stream: bus.DeadLetterStream, Name: name})
		}
	}
	return all
}

func (consumerWatcher) kind() registryapi.AlertKind { return registryapi.AlertLag }

func (w consumerWatcher) look(ctx context.Context, found map[topic]finding) error {
	var errs []error
	for _, c := range w.consumers {
		consumer, err := w.js.Consumer(ctx, c.Stream, c.Name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			delete(w.stuck, c.Name)
			continue
		}
		if err != nil {
			delete(w.stuck, c.Name)
			errs = append(errs, fmt.Errorf("consumer %s: %w", c.Name, err))
			continue
		}
		found[topic{w.kind(), c.Name}] = w.limit.judge(w.lag(c.Name, consumer.CachedInfo(), time.Now()))
	}
	return errors.Join(errs...)
}

func (w consumerWatcher) lag(name string, info *jetstream.ConsumerInfo, now time.Time) lag {
	left := info.NumPending + uint64(max(info.NumAckPending, 0))
	if left == 0 {
		delete(w.stuck, name)
		return lag{}
	}
	s, known := w.stuck[name]
	if !known || s.floor != info.AckFloor.Stream {
		s = stuckAt{info.AckFloor.Stream, now}
		w.stuck[name] = s
	}
	return lag{left, now.Sub(s.since)}
}

// modelWatcher asks every service on NATS for its read models. Of several instances one
// answers: those of a service share their read models, unless they are files.
type modelWatcher struct {
	found  *discovery.Client
	caller *endpoint.Caller
	limit  lagLimit
}

func (modelWatcher) kind() registryapi.AlertKind { return registryapi.AlertReadModelLag }

func (w modelWatcher) look(ctx context.Context, found map[topic]finding) error {
	instances, err := w.found.All(ctx)
	if err != nil && !errors.Is(err, discovery.ErrNoInstances) {
		return err
	}
	asked := make(map[string]bool)
	var errs []error
	for _, i := range instances {
		subject := "svc." + i.Name + ".projection"
		if asked[i.Name] || !slices.ContainsFunc(i.Endpoints, func(e discovery.Endpoint) bool { return e.Subject == subject }) {
			continue
		}
		asked[i.Name] = true
		models, err := w.ask(ctx, subject)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range models.Items {
			if event.CheckID(m.Name) != nil {
				continue // no service of ours says so
			}
			l := lag{m.Behind.Events, time.Duration(m.Behind.Seconds * float64(time.Second))}
			found[topic{w.kind(), i.Name + "/" + m.Name}] = w.limit.judge(l)
		}
	}
	return errors.Join(errs...)
}

// answerTime bounds how long one service may take to answer.
const answerTime = 3 * time.Second

// ask is no call of a method, because a service of others may have any name.
func (w modelWatcher) ask(ctx context.Context, subject string) (projection.ListResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var models projection.ListResponse
	reply, err := w.caller.Request(ctx, subject, nil, []byte("{}"))
	if err == nil {
		err = json.Unmarshal(reply.Body, &models)
	}
	if err != nil {
		return models, fmt.Errorf("ask %s: %w", subject, err)
	}
	return models, nil
}
