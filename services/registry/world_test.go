package registry

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// shortSettle is how long somebody must be silent to be gone, in tests.
const shortSettle = 1500 * time.Millisecond

// shortAfter is how long something must be over its limit to be trouble, in tests.
const shortAfter = 200 * time.Millisecond

// watchedGroups are those whose dead letters and lag are watched, in tests.
var watchedGroups = []bus.Group{{Stream: "JOBS", Name: "mailer"}, {Stream: "JOBS", Name: "packer"}}

// replica is one registry, without its endpoints.
type replica struct {
	handlers

	checker *checker
	nc      *nats.Conn
	stop    func()
}

func newServer(t *testing.T) *natstest.Server {
	t.Helper()
	srv := natstest.Start(t)
	if err := streams.Reconcile(t.Context(), srv.JetStream(t), slog.New(slog.DiscardHandler), 1, "registry"); err != nil {
		t.Fatal(err)
	}
	return srv
}

// newReplica runs a registry on nc until it is stopped or the test ends.
func newReplica(t *testing.T, nc *nats.Conn, term time.Duration) *replica {
	t.Helper()
	return newReplicaWith(t, nc, term, newProber(addresses{loopback: true}, nil))
}

func newReplicaWith(t *testing.T, nc *nats.Conn, term time.Duration, prober prober) *replica {
	t.Helper()
	js := natstest.JetStream(t, nc)
	store := eventstore.New(js, streams.Services, registryapi.Events)
	kv, err := js.KeyValue(t.Context(), streams.BucketServiceChecks)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	view := projection.KV(js, streams.BucketServices, project)
	following := view.Follow(store, projection.Config{Log: log})
	services := aggregate.New(store, apply)
	alertStore := eventstore.New(js, streams.Alerts, registryapi.AlertEvents)
	raised := projection.KV(js, streams.BucketAlerts, projectAlert)
	followingAlerts := raised.Follow(alertStore, projection.Config{Log: log})
	found := discovery.New(nc, discovery.Config{TTL: time.Millisecond, Collect: 200 * time.Millisecond})
	r := &replica{nc: nc, handlers: handlers{
		services: services, view: view, raised: raised, found: found,
		checks: checks{kv}, prober: prober, addresses: addresses{loopback: true}, log: log,
	}}
	r.checker = &checker{
		nc: nc, services: services, view: view, checks: checks{kv}, prober: prober, log: log,
		presence: presence{
			found: found, services: services, view: view, log: log,
			watching: watching{Interval: 50 * time.Millisecond, Settle: shortSettle, Failures: failuresInARow},
		},
		alarm: alarm{
			nc: nc, alerts: aggregate.New(alertStore, applyAlert), raised: raised, every: 20 * time.Millisecond, after: shortAfter, log: log,
			watchers: newWatchers(Alerts{LagEvents: 5, LagTime: time.Hour}, sources{
				js: js, groups: watchedGroups, found: found, caller: endpoint.NewCaller(nc, endpoint.CallerConfig{}), view: view, checks: checks{kv},
			}),
		},
		lease: lease{kv: kv, holder: event.NewID(), term: term, log: log},
	}
	parts := []interface {
		Start(ctx context.Context) error
		Stop(ctx context.Context) error
	}{r.checker, following, followingAlerts}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, part := range parts {
			if err := part.Stop(ctx); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}
	for _, part := range parts[1:] {
		if err := part.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.checker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

// until returns when done does, looking again and again.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// patient is something with a health endpoint.
type patient struct {
	instance

	status atomic.Int64 // that it answers with
	asked  atomic.Int64 // how often
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{}
	p.status.Store(http.StatusOK)
	p.instance = target(t, func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		w.WriteHeader(int(p.status.Load()))
	})
	return p
}

// awaitAsked returns when the patient was asked as often again.
func (p *patient) awaitAsked(t *testing.T, times int64) {
	t.Helper()
	want := p.asked.Load() + times
	until(t, "it is asked", func() bool { return p.asked.Load() >= want })
}

func (p *patient) request(interval string, retries int) registryapi.RegisterRequest {
	return registryapi.RegisterRequest{
		Name: "pay", ID: "a", Version: "1.0.0", Host: p.Host, Port: p.Port, HealthEndpoint: "/health",
		Check: &registryapi.Check{Interval: interval, Retries: retries},
	}
}

func (r *replica) mustRegister(t *testing.T, req registryapi.RegisterRequest) {
	t.Helper()
	if _, err := r.register(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// instance returns one registered instance as callers see it.
func (r *replica) instance(t *testing.T, id string) registryapi.Instance {
	t.Helper()
	s, err := r.get(t.Context(), registryapi.GetRequest{Name: "pay"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range s.Instances {
		if i.ID == id {
			return i
		}
	}
	t.Fatalf("no instance %s in %+v", id, s)
	return registryapi.Instance{}
}

func (r *replica) awaitStatus(t *testing.T, want registryapi.Status) {
	t.Helper()
	until(t, "it is "+string(want), func() bool { return r.instance(t, "a").Status == want })
}

// types returns the types of the events of a service.
func (r *replica) types(t *testing.T, name string) []string {
	t.Helper()
	events, err := r.services.History(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	types := make([]string, len(events))
	for n, e := range events {
		types[n] = e.Type
	}
	return types
}
