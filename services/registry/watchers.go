package registry

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

// sources are what watchers look at.
type sources struct {
	js     jetstream.JetStream
	groups []bus.Group
	found  *discovery.Client
	caller *endpoint.Caller
	view   *projection.View[service]
	checks checks
}

// newWatchers returns one for each kind of alert.
func newWatchers(limits Alerts, from sources) []watcher {
	behind := lagLimit{messages: limits.LagEvents, waiting: limits.LagTime}
	names := make([]string, len(from.groups))
	for n, g := range from.groups {
		names[n] = g.Name
	}
	return []watcher{
		serviceWatcher{view: from.view, checks: from.checks, expected: limits.Services},
		letterWatcher{counter: bus.NewLetterCounter(from.js), groups: names, limit: limits.DeadLetters},
		consumerWatcher{js: from.js, consumers: groupsAndRedrives(from.groups), limit: behind, stuck: make(map[string]stuckAt)},
		modelWatcher{found: from.found, caller: from.caller, limit: behind},
	}
}

// letterWatcher counts the dead letters of each group.
type letterWatcher struct {
	counter *bus.LetterCounter
	groups  []string
	limit   uint64
}

func (letterWatcher) kind() registryapi.AlertKind { return registryapi.AlertDeadLetters }

func (w letterWatcher) look(ctx context.Context, found map[topic]finding) error {
	counts, err := w.counter.Count(ctx, w.groups...)
	if err != nil {
		return err
	}
	for group, n := range counts {
		f := finding{within, fmt.Sprintf("%s, not more than %d", number(n, "dead letter"), w.limit)}
		if n > w.limit {
			f = finding{over, fmt.Sprintf("%s, more than %d", number(n, "dead letter"), w.limit)}
		}
		found[topic{w.kind(), group}] = f
	}
	return nil
}

func number(n uint64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
