package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

// serviceWatcher looks how services are. Whether an instance is unhealthy, its checks
// have decided; one that nobody has checked of late is no trouble and no end of it.
type serviceWatcher struct {
	view     *projection.View[service]
	checks   checks
	expected []string // services that must run
}

func (serviceWatcher) kind() registryapi.AlertKind { return registryapi.AlertUnhealthy }

func (w serviceWatcher) look(ctx context.Context, found map[topic]finding) error {
	services, err := listAll(ctx, w.view)
	if err != nil {
		return err
	}
	for _, name := range w.expected {
		found[topic{w.kind(), name}] = finding{over, "no instance of it is there"}
	}
	var errs []error
	for _, s := range services {
		f, err := w.examine(ctx, s)
		if err != nil {
			errs = append(errs, err)
		}
		found[topic{w.kind(), s.Name}] = f
	}
	return errors.Join(errs...)
}

// examine says how a service is: in trouble when one instance is unhealthy for sure, and
// well when none may be.
func (w serviceWatcher) examine(ctx context.Context, s service) (finding, error) {
	statuses := make(map[string]registryapi.Status)
	for _, r := range s.Running {
		statuses[r.ID] = r.Status
	}
	for _, i := range s.Instances {
		if i.Status != registryapi.StatusUnhealthy {
			continue // one that was never checked is no reason to wait
		}
		last, err := w.checks.get(ctx, s.Name, i.ID)
		if err != nil {
			return finding{}, err
		}
		statuses[i.ID] = statusAt(i, last, time.Now())
	}
	var ill []string
	unclear := false
	for id, status := range statuses {
		switch status {
		case registryapi.StatusUnhealthy:
			ill = append(ill, id)
		case registryapi.StatusUnknown:
			unclear = true
		case registryapi.StatusHealthy:
		}
	}
	slices.Sort(ill)
	all := number(uint64(len(s.Running)+len(s.Instances)), "instance")
	switch {
	case len(ill) > 0:
		return finding{over, fmt.Sprintf("%d of %s unhealthy: %s", len(ill), all, strings.Join(ill[:min(len(ill), 10)], ", "))}, nil
	case unclear:
		return finding{}, nil
	default:
		return finding{within, "no instance of " + all + " is unhealthy"}, nil
	}
}
