package registry

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/aggregate"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

// presence makes events of instances on NATS that come, go, and change how they are. It
// asks all of them again and again. Who has not answered for as long as Settle is gone,
// if others could be asked all that time: in an outage nobody leaves, and after one
// everybody has as long to come back.
type presence struct {
	found    *discovery.Client
	services *aggregate.Aggregates[service]
	view     *projection.View[service]
	log      *slog.Logger

	watching
}

const (
	askEvery = 5 * time.Second
	// settleTime is longer than a connection that was lost takes to come back.
	settleTime = 20 * time.Second
	// failuresInARow is as often as for a check that says nothing else.
	failuresInARow = 3
)

// instanceID is an instance of a service.
type instanceID struct{ name, id string }

// memory is what a round needs to know of those before it. It begins anew with each
// leader, which makes instances go later and never earlier.
type memory struct {
	silent   map[instanceID]time.Time // since when
	failures map[instanceID]int       // in a row
	outage   bool
}

func (m *memory) forget() {
	m.silent, m.failures = make(map[instanceID]time.Time), make(map[instanceID]int)
}

// lead asks until ctx ends.
func (p presence) lead(ctx context.Context) {
	var m memory
	m.forget()
	for {
		p.look(ctx, &m)
		if !pause(ctx, p.Interval) {
			return
		}
	}
}

// look makes one round. When nobody can be asked, or nothing be recorded, it says so once
// and counts as nothing.
func (p presence) look(ctx context.Context, m *memory) {
	err := p.round(ctx, m)
	if err != nil && ctx.Err() == nil {
		if !m.outage {
			p.log.WarnContext(ctx, "instances cannot be asked, so nobody is taken for gone", "error", err)
		}
		m.forget()
	}
	m.outage = err != nil
}

// round asks everybody once and records what is news.
func (p presence) round(ctx context.Context, m *memory) error {
	answered, err := p.found.All(ctx)
	if err != nil && !errors.Is(err, discovery.ErrNoInstances) {
		return err
	}
	known, err := listAll(ctx, p.view)
	if err != nil {
		return err
	}
	for _, c := range p.count(ctx, m, answered, known) {
		if err := p.record(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// count compares who answered with who is known, and returns what may be news.
func (p presence) count(ctx context.Context, m *memory, answered []discovery.Instance, known []service) []census {
	here := make(map[string][]running)
	for _, i := range answered {
		if event.CheckID(i.Name) == nil && event.CheckID(i.ID) == nil {
			here[i.Name] = append(here[i.Name], running{ID: i.ID, Version: i.Version})
		}
	}
	verdicts := p.examine(ctx, m, here)
	before := make(map[string]service, len(known))
	for _, s := range known {
		before[s.Name] = s
	}
	var news []census
	silent := make(map[instanceID]time.Time)
	for name := range union(here, before) {
		c := census{name: name, here: here[name], verdicts: verdicts}
		for _, r := range before[name].Running {
			if slices.ContainsFunc(c.here, func(other running) bool { return other.ID == r.ID }) {
				continue
			}
			of := instanceID{name, r.ID}
			since, again := m.silent[of]
			if !again {
				since = time.Now()
			}
			silent[of] = since
			if time.Since(since) >= p.Settle {
				c.gone = append(c.gone, r.ID)
			}
		}
		if len(take(before[name], c, time.Time{})) > 0 {
			news = append(news, c)
		}
	}
	m.silent = silent
	return news
}

func union(here map[string][]running, before map[string]service) map[string]bool {
	names := make(map[string]bool, len(before))
	for name := range here {
		names[name] = true
	}
	for name := range before {
		names[name] = true
	}
	return names
}

// record appends what is news. The read model may have been behind, so that is decided
// by the history.
func (p presence) record(ctx context.Context, c census) error {
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: event.NewID()})
	_, err := p.services.Do(ctx, aggregate.Command[service]{
		ID:     c.name,
		Decide: func(s service) ([]event.Data, error) { return take(s, c, time.Now().UTC()), nil },
	})
	return err
}

// examine asks every instance how it is, and returns the verdicts on those that say it. One
// whose answer does not come in time has said nothing.
func (p presence) examine(ctx context.Context, m *memory, here map[string][]running) map[instanceID]verdict {
	statuses, err := ask(ctx, p.found, "")
	if err != nil {
		p.log.DebugContext(ctx, "instances do not say how they are", "error", err)
		return nil
	}
	failures := make(map[instanceID]int)
	verdicts := make(map[instanceID]verdict, len(statuses))
	for name, instances := range here {
		for _, r := range instances {
			of := instanceID{name, r.ID}
			failure, said := statuses[of]
			if !said {
				failures[of] = m.failures[of]
				continue
			}
			failures[of], verdicts[of] = judge(m.failures[of], failure, p.Failures)
		}
	}
	m.failures = failures
	return verdicts
}

// saysFailing is why an instance on NATS is unhealthy. What is wrong with it stands in
// its own log.
const saysFailing = "says that it is failing"

// ask returns why each instance of a service is failing, "" for those that are well; with
// no name it asks all services. Those that do not say anything are left out: services of
// others need not know how.
//
// It comes with their statistics, because those are the one thing that NATS lets
// everybody ask of each instance by itself: a request to svc.<name>.health is answered by
// one of them.
func ask(ctx context.Context, found *discovery.Client, name string) (map[instanceID]string, error) {
	all, err := found.Statistics(ctx, name)
	if errors.Is(err, discovery.ErrNoInstances) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	failures := make(map[instanceID]string, len(all))
	for _, s := range all {
		for _, e := range s.Endpoints {
			var data struct {
				Health string `json:"health"`
			}
			if e.Name != "health" || len(e.Data) == 0 || json.Unmarshal(e.Data, &data) != nil || data.Health == "" {
				continue
			}
			failures[instanceID{s.Name, s.ID}] = ""
			if data.Health != endpoint.StatusOK {
				failures[instanceID{s.Name, s.ID}] = saysFailing
			}
		}
	}
	return failures, nil
}

// showRunning returns an instance on NATS as others see it: it has just answered. One that
// is failing has no heartbeat.
func showRunning(i discovery.Instance, s service) registryapi.Instance {
	shown := registryapi.Instance{ID: i.ID, Version: i.Version, Status: registryapi.StatusHealthy, LastHeartbeat: i.Seen}
	if r, known := s.findRunning(i.ID); known && r.Status == registryapi.StatusUnhealthy {
		shown.Status, shown.LastHeartbeat = r.Status, time.Time{}
	}
	return shown
}
