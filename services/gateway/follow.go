package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sluice/pkg/discovery"
)

// following keeps the table up to date.
type following struct {
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

const (
	// lingerCheck is how often a service is asked again that went silent without having
	// left.
	lingerCheck = time.Second
	// settling is how long nobody is taken to be gone after an outage: everybody connects
	// again in their own time.
	settling = 5 * time.Second
)

// news is what watching services brings: how they changed, or that they can't be asked.
type news struct {
	change discovery.Change
	err    error
}

// startFollowing returns when the routes of the services that run now are there, or
// after a while.
func (g *Gateway) startFollowing(ctx context.Context) error {
	if g.cfg.Discovery == nil {
		close(g.known)
		return nil
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.follow.cancel = cancel
	changes := make(chan news)
	g.follow.workers.Go(func() { g.watchServices(life, changes) })
	g.follow.workers.Go(func() { g.takeChanges(life, changes) })
	patience := time.NewTimer(discoveryPatience)
	defer patience.Stop()
	select {
	case <-g.known:
	case <-patience.C:
		g.cfg.Log.WarnContext(ctx, "services can't be asked yet: starting without their routes")
	case <-ctx.Done():
		g.stopFollowing()
		return context.Cause(ctx)
	}
	return nil
}

func (g *Gateway) stopFollowing() {
	if g.follow.cancel != nil {
		g.follow.cancel()
	}
	g.follow.workers.Wait()
}

func (g *Gateway) watchServices(ctx context.Context, changes chan<- news) {
	for change, err := range g.cfg.Discovery.Watch(ctx, "") {
		select {
		case changes <- news{change, err}:
		case <-ctx.Done():
			return
		}
	}
}

// takeChanges makes tables of what runs.
func (g *Gateway) takeChanges(ctx context.Context, changes <-chan news) {
	var (
		now     []discovery.Instance
		outage  bool
		settled time.Time
		again   <-chan time.Time
		known   = sync.OnceFunc(func() { close(g.known) })
	)
	for {
		select {
		case n := <-changes:
			if n.err != nil {
				g.cfg.Log.WarnContext(ctx, "services can't be asked: the routes stay as they are", "error", n.err)
				outage = true
				continue
			}
			if outage {
				outage, settled = false, time.Now().Add(settling)
			}
			now = n.change.Now
		case <-again:
		case <-ctx.Done():
			return
		}
		lingering := g.stillThere(ctx, now, time.Now().Before(settled))
		if ctx.Err() != nil {
			return
		}
		again = nil
		if len(lingering) > 0 {
			again = time.After(lingerCheck)
		}
		g.serve(ctx, slices.Concat(now, lingering))
		known()
	}
}

var errUnknown = errors.New("the services have not been asked yet: no routes are known")

// Health returns an error until the routes are known.
func (g *Gateway) Health() error {
	select {
	case <-g.known:
		return nil
	default:
		return errUnknown
	}
}

// stillThere returns the instances, as they were seen last, of services that have
// routes and do not answer, and are not gone: that they are, NATS itself must say. One
// that is slow, or stopped for a while, keeps its routes.
func (g *Gateway) stillThere(ctx context.Context, now []discovery.Instance, settling bool) []discovery.Instance {
	t := g.table.Load()
	var lingering []discovery.Instance
	for _, service := range t.services {
		isIt := func(i discovery.Instance) bool { return i.Name == service }
		if slices.ContainsFunc(now, isIt) {
			continue
		}
		if !settling {
			if _, err := g.cfg.Discovery.Ping(ctx, service); errors.Is(err, discovery.ErrNoInstances) {
				continue
			}
		}
		for _, i := range t.instances {
			if isIt(i) {
				lingering = append(lingering, i)
			}
		}
	}
	return lingering
}

// serve puts the routes of instances in the place of those before.
func (g *Gateway) serve(ctx context.Context, instances []discovery.Instance) {
	before := g.table.Load()
	t := g.newTable(before, instances)
	for _, r := range t.refused {
		if slices.Contains(before.refused, r) {
			continue
		}
		g.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "route refused",
			slog.String("of", r.Service), slog.String("endpoint", r.Endpoint), slog.String("version", r.Version),
			slog.String("route", r.Method+" "+r.Path), slog.String("reason", r.Reason))
	}
	if added, gone := missing(t.routes, before.routes), missing(before.routes, t.routes); g.Health() != nil {
		g.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "routes found", slog.Int("routes", len(t.routes)))
	} else if len(added)+len(gone) > 0 {
		g.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "routes changed",
			slog.Int("routes", len(t.routes)), slog.Any("added", added), slog.Any("gone", gone))
	}
	g.table.Store(t)
}

// missing returns the patterns of routes that are not among others.
func missing(routes, others []route) []string {
	in := make(map[string]bool, len(others))
	for _, r := range others {
		in[r.place()] = true
	}
	var out []string
	for _, r := range routes {
		if !in[r.place()] {
			out = append(out, r.spec.HTTP)
		}
	}
	return out
}
