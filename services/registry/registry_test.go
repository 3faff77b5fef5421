package registry

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/registry/registryapi"
)

func at(minute int) time.Time { return time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC) }

func aboutPay(id string, minute int) registryapi.About {
	return registryapi.About{Name: "pay", Instance: id, Timestamp: at(minute)}
}

func registered(id string, port, minute int) registryapi.Registered {
	return registryapi.Registered{
		About: aboutPay(id, minute), Version: "1.0.0", Host: "10.0.0.7", Port: port, HealthEndpoint: "/health",
		Check: registryapi.Check{}.Normal(),
	}
}

// fold returns the service after these events.
func fold(given ...event.Data) service {
	var s service
	for _, data := range given {
		s = apply(s, event.Event{Type: data.EventType(), Subject: "pay", Version: s.Version + 1}, data)
	}
	return s
}

func TestRegister(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		given []event.Data
		when  registryapi.Registered
		then  endpoint.Code
	}{
		{"the first", nil, registered("a", 80, 2), ""},
		{"another instance", []event.Data{registered("a", 80, 1)}, registered("b", 81, 2), ""},
		{"the same id", []event.Data{registered("a", 80, 1)}, registered("a", 81, 2), endpoint.CodeConflict},
		{"the same address", []event.Data{registered("a", 80, 1)}, registered("b", 80, 2), endpoint.CodeConflict},
		{"again after it went", []event.Data{registered("a", 80, 1), registryapi.Deregistered{About: aboutPay("a", 1)}}, registered("a", 80, 2), ""},
	} {
		before := fold(c.given...)
		then, err := register(before, c.when)
		if endpoint.CodeOf(err) != c.then || err == nil && (len(then) != 1 || then[0] != c.when) {
			t.Errorf("%s: %v, %v", c.name, then, err)
		}
		if err != nil {
			continue
		}
		after := fold(append(c.given, then...)...)
		i, ok := after.find(c.when.Instance)
		if !ok || i.Status != registryapi.StatusUnknown || len(after.Instances) != len(before.Instances)+1 {
			t.Errorf("%s: %+v", c.name, after)
		}
	}
	var full service
	for n := range maxInstances {
		full.Instances = append(full.Instances, instance{ID: strconv.Itoa(n), Port: n})
	}
	if _, err := register(full, registered("one-more", 80, 2)); endpoint.CodeOf(err) != endpoint.CodeConflict {
		t.Errorf("one too many: %v", err)
	}
}

func TestDeregisterAndChangeCheck(t *testing.T) {
	t.Parallel()
	two := fold(registered("a", 80, 1), registered("b", 81, 1))
	other := registryapi.Check{Interval: "1s", Timeout: "1s", Retries: 1}
	for _, c := range []struct {
		given service
		id    string
		then  int
		code  endpoint.Code
	}{
		{two, "", 2, ""},
		{two, "b", 1, ""},
		{two, "c", 0, endpoint.CodeNotFound},
		{service{}, "", 0, endpoint.CodeNotFound},
		{service{}, "a", 0, endpoint.CodeNotFound},
		{fold(registered("a", 80, 1), registryapi.Deregistered{About: aboutPay("a", 1)}), "a", 0, endpoint.CodeNotFound},
	} {
		gone, err := deregister(c.given, c.id, at(5))
		if len(gone) != c.then || endpoint.CodeOf(err) != c.code {
			t.Errorf("deregister %q: %v, %v", c.id, gone, err)
		}
		changed, err := changeCheck(c.given, c.id, other, at(5))
		if len(changed) != c.then || endpoint.CodeOf(err) != c.code {
			t.Errorf("change %q: %v, %v", c.id, changed, err)
		}
	}
	if again, err := changeCheck(two, "", registryapi.Check{}.Normal(), at(5)); len(again) != 0 || err != nil {
		t.Errorf("the same check is a change: %v, %v", again, err)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	healthy, unhealthy := verdict{status: registryapi.StatusHealthy}, verdict{status: registryapi.StatusUnhealthy, reason: "status 503"}
	is := func(events ...event.Data) []event.Data {
		return append([]event.Data{registered("a", 80, 1)}, events...)
	}
	well, ill := registryapi.Healthy{About: aboutPay("a", 2)}, registryapi.Unhealthy{About: aboutPay("a", 3), Reason: "timed out"}
	for _, c := range []struct {
		name  string
		given []event.Data
		when  verdict
		then  string
	}{
		{"well at first", is(), healthy, "service.healthy"},
		{"ill at first", is(), unhealthy, "service.unhealthy"},
		{"nothing said yet", is(), verdict{}, ""},
		{"still well", is(well), healthy, ""},
		{"falls ill", is(well), unhealthy, "service.unhealthy"},
		{"nothing said while well", is(well), verdict{}, ""},
		{"still ill", is(well, ill), unhealthy, ""},
		{"recovers", is(well, ill), healthy, "service.healthy"},
		{"gone", is(registryapi.Deregistered{About: aboutPay("a", 4)}), unhealthy, ""},
		{"replaced by another", is(registryapi.Deregistered{About: aboutPay("a", 4)}, registered("a", 80, 5)), unhealthy, ""},
	} {
		then, err := report(fold(c.given...), fold(registered("a", 80, 1)).Instances[0], c.when, at(9))
		got := ""
		if len(then) > 0 {
			got = then[0].EventType()
		}
		if err != nil || len(then) > 1 || got != c.then {
			t.Errorf("%s: %v, %v", c.name, then, err)
		}
	}
}

// However checks turn out, the verdict is what the last of them say, and each event
// changes the status.
func TestVerdictsFollowChecks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		retries := rapid.IntRange(1, 5).Draw(t, "retries")
		s := fold(registered("a", 80, 1))
		failures, inARow := 0, 0
		want := registryapi.StatusUnknown
		for range rapid.IntRange(1, 40).Draw(t, "checks") {
			failure := rapid.SampledFrom([]string{"", "timed out"}).Draw(t, "failure")
			var v verdict
			failures, v = judge(failures, failure, retries)
			then, err := report(s, s.Instances[0], v, at(9))
			if err != nil {
				t.Fatal(err)
			}
			before := s.Instances[0].Status
			for _, e := range then {
				s = apply(s, event.Event{Type: e.EventType(), Subject: "pay", Version: s.Version + 1}, e)
			}
			if failure == "" {
				inARow, want = 0, registryapi.StatusHealthy
			} else if inARow++; inARow >= retries {
				want = registryapi.StatusUnhealthy
			}
			if got := s.Instances[0].Status; got != want || (before != got) != (len(then) == 1) {
				t.Fatalf("%d failures in a row of %d: from %s to %s by %v, want %s", inARow, retries, before, got, then, want)
			}
		}
	})
}

func TestStatusIsUnknownWhenNobodyCanTell(t *testing.T) {
	t.Parallel()
	i := fold(registered("a", 80, 1), registryapi.Healthy{About: aboutPay("a", 2)}).Instances[0]
	unchecked := i
	unchecked.Check = registryapi.Check{}
	fresh := checked{Registered: i.Registered, At: at(10), Success: at(9)}
	for _, c := range []struct {
		name string
		i    instance
		last checked
		now  time.Time
		want registryapi.Status
	}{
		{"just checked", i, fresh, at(10), "healthy"},
		{"due", i, fresh, at(10).Add(12 * time.Second), "healthy"},
		{"long overdue", i, fresh, at(11), "unknown"},
		{"never checked", i, checked{}, at(10), "unknown"},
		{"not to be checked", unchecked, fresh, at(10), "unknown"},
		{"another instance was checked", i, checked{Registered: at(0), At: at(10)}, at(10), "unknown"},
	} {
		if got := show(c.i, c.last, c.now); got.Status != c.want {
			t.Errorf("%s: %s, not %s", c.name, got.Status, c.want)
		}
	}
	if got := show(i, fresh, at(10)); !got.LastHeartbeat.Equal(at(9)) {
		t.Errorf("the last heartbeat is %s", got.LastHeartbeat)
	}
}

func TestAServiceIsWhatItsInstancesAre(t *testing.T) {
	t.Parallel()
	const healthy, unhealthy, unknown = registryapi.StatusHealthy, registryapi.StatusUnhealthy, registryapi.StatusUnknown
	for _, c := range []struct {
		given []registryapi.Status
		want  registryapi.Status
	}{
		{nil, unknown},
		{[]registryapi.Status{unknown}, unknown},
		{[]registryapi.Status{unknown, unhealthy}, unhealthy},
		{[]registryapi.Status{unhealthy, unknown}, unhealthy},
		{[]registryapi.Status{unhealthy, healthy, unknown}, healthy},
		{[]registryapi.Status{healthy, unhealthy}, healthy},
	} {
		var instances []registryapi.Instance
		for n, status := range c.given {
			instances = append(instances, registryapi.Instance{ID: strconv.Itoa(9 - n), Status: status, Version: "1." + strconv.Itoa(n+9) + ".0", LastHeartbeat: at(n)})
		}
		got := summarise("pay", instances)
		if got.Status != c.want || got.Instances == nil || !slices.IsSortedFunc(got.Instances, func(a, b registryapi.Instance) int { return int(a.ID[0]) - int(b.ID[0]) }) {
			t.Errorf("%v: %+v", c.given, got)
		}
		if n := len(c.given) - 1; n >= 0 && (got.Version != "1."+strconv.Itoa(n+9)+".0" || !got.LastHeartbeat.Equal(at(n))) {
			t.Errorf("%v: version %s, last heartbeat %s", c.given, got.Version, got.LastHeartbeat)
		}
	}
	order := []string{"", "0.9.0", "1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0", "1.2.0", "1.10.0", "2.0.0"}
	for n := 1; n < len(order); n++ {
		if compareVersions(order[n-1], order[n]) >= 0 || compareVersions(order[n], order[n-1]) <= 0 {
			t.Errorf("%q is not before %q", order[n-1], order[n])
		}
	}
}
