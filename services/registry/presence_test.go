package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"pgregory.net/rapid"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

// colleague is an instance of a service on NATS.
type colleague struct {
	micro.Service

	nc     *nats.Conn
	health atomic.Value // what it says of itself; "" says nothing
}

func newColleague(t *testing.T, srv *natstest.Server, name string) *colleague {
	t.Helper()
	c := &colleague{nc: srv.Connect(t)}
	c.health.Store("")
	var err error
	c.Service, err = micro.AddService(c.nc, micro.Config{
		Name: name, Version: "2.0.0",
		StatsHandler: func(e *micro.Endpoint) any {
			if e.Name != "health" {
				return "of no interest"
			}
			return map[string]any{"health": c.health.Load(), "requests": 1}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{"health", "work"} {
		if err := c.AddEndpoint(endpoint, micro.HandlerFunc(func(micro.Request) {}), micro.WithEndpointSubject("svc."+name+"."+endpoint)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *colleague) leave(t *testing.T) {
	t.Helper()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
}

// news returns the events of a service, each with the number of the instance it is about.
func (r *replica) news(t *testing.T, name string, all ...*colleague) string {
	t.Helper()
	events, err := r.services.History(t.Context(), name)
	if errors.Is(err, aggregate.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var news []string
	for _, e := range events {
		var about registryapi.About
		if err := json.Unmarshal(e.Data, &about); err != nil {
			t.Fatal(err)
		}
		who := slices.IndexFunc(all, func(c *colleague) bool { return c.Info().ID == about.Instance })
		news = append(news, fmt.Sprintf("%s %d", strings.TrimPrefix(e.Type, "service."), who))
	}
	return strings.Join(news, ", ")
}

func (r *replica) awaitNews(t *testing.T, name, want string, all ...*colleague) {
	t.Helper()
	until(t, want, func() bool { return r.news(t, name, all...) == want })
}

// Who comes and goes on NATS is an event each, one also with several replicas, of which
// another takes over meanwhile.
func TestInstancesOnNATSComeAndGo(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	first := newReplica(t, srv.Connect(t), shortTerm)
	second, third := newReplica(t, srv.Connect(t), shortTerm), newReplica(t, srv.Connect(t), shortTerm)
	mail := []*colleague{newColleague(t, srv, "Mail_2"), newColleague(t, srv, "Mail_2")}
	until(t, "both are there", func() bool { return strings.Count(first.news(t, "Mail_2", mail...), "started") == 2 })
	if got := first.news(t, "Mail_2", mail...); !strings.Contains(got, "started 0") || !strings.Contains(got, "started 1") {
		t.Errorf("the events are %q", got)
	}
	before := first.news(t, "Mail_2", mail...)

	first.stop()
	mail[0].leave(t)
	third.awaitNews(t, "Mail_2", before+", stopped 0", mail...)
	got, err := second.get(t.Context(), registryapi.GetRequest{Name: "Mail_2"})
	if err != nil || len(got.Instances) != 1 || got.Instances[0].ID != mail[1].Info().ID || got.Status != registryapi.StatusHealthy ||
		got.Version != "2.0.0" || got.LastHeartbeat.IsZero() {
		t.Errorf("the service is %+v, %v", got, err)
	}
	mail[1].leave(t)
	third.awaitNews(t, "Mail_2", before+", stopped 0, stopped 1", mail...)
	if _, err := second.get(t.Context(), registryapi.GetRequest{Name: "Mail_2"}); endpoint.CodeOf(err) != endpoint.CodeNotFound {
		t.Errorf("it is still there: %v", err)
	}
	if page, err := second.list(t.Context(), registryapi.ListRequest{}); err != nil || len(page.Items) != 0 {
		t.Errorf("it is still listed: %+v, %v", page, err)
	}
}

// An instance says itself how it is: one that answers and is failing is not healthy, and
// nor is it gone.
func TestAnInstanceOnNATSIsWhatItSays(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r := newReplica(t, srv.Connect(t), shortTerm)
	well, ill := newColleague(t, srv, "mail"), newColleague(t, srv, "mail")
	well.health.Store(endpoint.StatusOK)
	r.awaitStarted(t, "mail", 2)
	ill.health.Store(endpoint.StatusFailing)
	before := r.news(t, "mail", well, ill)
	r.awaitNews(t, "mail", before+", unhealthy 1", well, ill)

	check := func(want registryapi.Status) {
		t.Helper()
		for what, ask := range map[string]func() (registryapi.Service, error){
			"get": func() (registryapi.Service, error) {
				return r.get(t.Context(), registryapi.GetRequest{Name: "mail"})
			},
			"list": func() (registryapi.Service, error) {
				page, err := r.list(t.Context(), registryapi.ListRequest{})
				if err != nil || len(page.Items) != 1 {
					return registryapi.Service{}, fmt.Errorf("a page of %+v: %w", page, err)
				}
				return page.Items[0], nil
			},
		} {
			s, err := ask()
			if err != nil || s.Status != registryapi.StatusHealthy || len(s.Instances) != 2 {
				t.Fatalf("%s: %+v, %v", what, s, err)
			}
			for _, i := range s.Instances {
				if i.ID == ill.Info().ID && (i.Status != want || i.LastHeartbeat.IsZero() != (want != registryapi.StatusHealthy)) {
					t.Errorf("%s: it is %+v, want %s", what, i, want)
				}
				if i.ID != ill.Info().ID && (i.Status != registryapi.StatusHealthy || i.LastHeartbeat.IsZero()) {
					t.Errorf("%s: the other is %+v", what, i)
				}
			}
		}
	}
	until(t, "the read model has it", func() bool {
		s, err := r.view.Get(t.Context(), "mail")
		return err == nil && slices.ContainsFunc(s.Running, func(r running) bool { return r.Status == registryapi.StatusUnhealthy })
	})
	check(registryapi.StatusUnhealthy)
	_, err := r.healthCheck(t.Context(), registryapi.HealthCheckRequest{Name: "mail"})
	failed, ok := errors.AsType[*endpoint.Error](err)
	if !ok || failed.Code != endpoint.CodeUnavailable || len(failed.Fields) != 1 || failed.Fields[0].Field != "instances."+ill.Info().ID {
		t.Errorf("checked now: %v", err)
	}
	ill.health.Store(endpoint.StatusOK)
	if _, err := r.healthCheck(t.Context(), registryapi.HealthCheckRequest{Name: "mail"}); err != nil {
		t.Errorf("checked when it is well again: %v", err)
	}
	r.awaitNews(t, "mail", before+", unhealthy 1, healthy 1", well, ill)
	until(t, "the read model has it", func() bool {
		s, err := r.view.Get(t.Context(), "mail")
		return err == nil && !slices.ContainsFunc(s.Running, func(r running) bool { return r.Status == registryapi.StatusUnhealthy })
	})
	check(registryapi.StatusHealthy)
}

func (r *replica) awaitStarted(t *testing.T, name string, n int) {
	t.Helper()
	until(t, "they are there", func() bool { return strings.Count(r.news(t, name), "started") == n })
}

// bystander is a registry that does not lead, and a presence whose rounds the test makes.
func bystander(t *testing.T, srv *natstest.Server) (*replica, presence) {
	t.Helper()
	kv, err := srv.JetStream(t).KeyValue(t.Context(), streams.BucketServiceChecks)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), leaseKey, []byte("somebody else")); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, srv.Connect(t), time.Hour)
	p := r.checker.presence
	p.Settle = time.Hour
	return r, p
}

// age makes everybody who is silent silent for two hours longer.
func (m *memory) age() {
	for of := range m.silent {
		m.silent[of] = m.silent[of].Add(-2 * time.Hour)
	}
}

// In an outage nobody leaves: not those who did not answer before it, nor those who are
// not back yet after it.
func TestAnOutageIsNobodysDeparture(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r, p := bystander(t, srv)
	mail := newColleague(t, srv, "mail")
	var m memory
	m.forget()
	p.look(t.Context(), &m)
	r.awaitNews(t, "mail", "started 0", mail)
	r.awaitRunning(t, "mail", 1)

	mail.leave(t)
	until(t, "it is silent", func() bool { p.look(t.Context(), &m); return len(m.silent) == 1 })
	m.age()
	srv.Stop()
	until(t, "the connection is lost", func() bool { return !r.nc.IsConnected() })
	p.look(t.Context(), &m)
	if !m.outage || len(m.silent) != 0 {
		t.Errorf("in an outage %v count as silent", m.silent)
	}
	srv.Restart(t)
	until(t, "the connection is back", r.nc.IsConnected)
	until(t, "instances can be asked", func() bool { p.look(t.Context(), &m); return !m.outage && len(m.silent) == 1 })
	p.look(t.Context(), &m)
	if got := r.news(t, "mail", mail); got != "started 0" {
		t.Fatalf("after the outage the events are %q", got)
	}
	m.age()
	p.look(t.Context(), &m)
	if got := r.news(t, "mail", mail); got != "started 0, stopped 0" {
		t.Errorf("long after it the events are %q", got)
	}
}

func (r *replica) awaitRunning(t *testing.T, name string, n int) {
	t.Helper()
	until(t, "the read model has them", func() bool {
		s, err := r.view.Get(t.Context(), name)
		return err == nil && len(s.Running) == n
	})
}

// Two that lead for a moment, and a read model that is behind, make no event twice.
func TestTheSameCensusTwiceIsOneEvent(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r, p := bystander(t, srv)
	other := newReplica(t, srv.Connect(t), time.Hour).checker.presence
	mail := newColleague(t, srv, "mail")
	id := mail.Info().ID
	ill := map[instanceID]verdict{{"mail", id}: {status: registryapi.StatusUnhealthy, reason: saysFailing}}
	for _, c := range []census{
		{name: "mail", here: []running{{ID: id, Version: "2.0.0"}}},
		{name: "mail", here: []running{{ID: id, Version: "2.0.0"}}, verdicts: ill},
		{name: "mail", gone: []string{id}},
	} {
		var together sync.WaitGroup
		for _, one := range []presence{p, other, p, other} {
			together.Go(func() {
				if err := one.record(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
	}
	if got := r.news(t, "mail", mail); got != "started 0, unhealthy 0, stopped 0" {
		t.Errorf("the events are %q", got)
	}
}

// However censuses follow each other: those who are there are those who were there last
// and did not go, a status is what was said last, and what is taken once is no news.
func TestACensusIsTakenOnce(t *testing.T) {
	t.Parallel()
	ids := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		s := fold(registered("z", 80, 1))
		there := map[string]registryapi.Status{}
		for range rapid.IntRange(1, 20).Draw(t, "censuses") {
			c := census{name: "pay", verdicts: map[instanceID]verdict{}}
			for _, id := range ids {
				switch rapid.SampledFrom([]string{"here", "well", "ill", "silent", "gone"}).Draw(t, id) {
				case "here":
					c.here = append(c.here, running{ID: id})
					there[id] = cmp.Or(there[id], registryapi.StatusHealthy)
				case "well":
					c.here = append(c.here, running{ID: id})
					c.verdicts[instanceID{"pay", id}] = verdict{status: registryapi.StatusHealthy}
					there[id] = registryapi.StatusHealthy
				case "ill":
					c.here = append(c.here, running{ID: id})
					c.verdicts[instanceID{"pay", id}] = verdict{status: registryapi.StatusUnhealthy, reason: "x"}
					there[id] = registryapi.StatusUnhealthy
				case "gone":
					c.gone = append(c.gone, id)
					delete(there, id)
				}
			}
			for _, data := range take(s, c, at(2)) {
				s = apply(s, event.Event{Type: data.EventType(), Subject: "pay", Version: s.Version + 1}, data)
			}
			if again := take(s, c, at(2)); len(again) > 0 {
				t.Fatalf("what was taken is news: %v", again)
			}
			got := map[string]registryapi.Status{}
			for _, r := range s.Running {
				got[r.ID] = r.Status
			}
			if !maps.Equal(got, there) || len(s.Running) != len(there) || len(s.Instances) != 1 || s.Instances[0].Status != registryapi.StatusUnknown {
				t.Fatalf("there are %+v and %+v, want %v", s.Running, s.Instances, there)
			}
		}
	})
	var full service
	for n := range maxInstances {
		full.Running = append(full.Running, running{ID: strconv.Itoa(n)})
	}
	if news := take(full, census{name: "pay", here: []running{{ID: "one-more"}}}, at(2)); len(news) > 0 {
		t.Errorf("one too many: %v", news)
	}
	if news := take(full, census{name: "pay", here: []running{{ID: "one-more"}}, gone: []string{"7"}}, at(2)); len(news) != 2 {
		t.Errorf("one for another: %v", news)
	}
}

// A service that is written with endpoints says how each of its instances is.
func TestEachInstanceSaysHowItIs(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r, p := bystander(t, srv)
	var ill atomic.Bool
	for n := range 2 {
		server := endpoint.Serve(srv.Connect(t), endpoint.ServiceConfig{
			Name: "mail", Version: "1.0.0", Health: map[string]func() error{"disk": func() error {
				if n == 1 && ill.Load() {
					return errors.New("full")
				}
				return nil
			}},
		})
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	said := func() string {
		statuses, err := ask(t.Context(), p.found, "mail")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(slices.Sorted(maps.Values(statuses)), ",")
	}
	until(t, "both are well", func() bool { return said() == "," })
	ill.Store(true)
	until(t, "one is not", func() bool { return said() == ","+saysFailing })
	var m memory
	m.forget()
	looks := 0
	until(t, "one is unhealthy", func() bool {
		p.look(t.Context(), &m)
		looks++
		return strings.Contains(r.news(t, "mail"), "unhealthy")
	})
	if got := r.news(t, "mail"); strings.Count(got, "started") != 2 || strings.Count(got, "unhealthy") != 1 || looks < failuresInARow {
		t.Errorf("after %d rounds the events are %q", looks, got)
	}
}
