package streams_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/natstest"
	"sluice/streams"
)

// TestRoutesArePartOfFilters: what may be routed is what the file of the consumer has, and
// nothing that somebody must see is among it.
func TestRoutesArePartOfFilters(t *testing.T) {
	t.Parallel()
	set := load(t, owners...)
	for group, subjects := range streams.Routes() {
		filters := filtersOf(t, set, group)
		for _, s := range subjects {
			if !slices.Contains(filters, s) {
				t.Errorf("%s may be routed %s, and its consumer filters on %v", group, s, filters)
			}
			if strings.Contains(s, "erased") || !strings.HasSuffix(s, ".*") {
				t.Errorf("%s may not be kept from anybody", s)
			}
		}
		for _, kind := range []string{"guard", "intake", "erasure", "timers", "due"} {
			if strings.HasSuffix(group, "-"+kind) {
				t.Errorf("%s takes everything", group)
			}
		}
	}
}

func filtersOf(t *testing.T, set streams.Set, group string) []string {
	t.Helper()
	i := slices.IndexFunc(set.Consumers, func(c streams.Consumer) bool { return c.Config.Durable == group && c.Stream != streams.DeadLetters })
	if i < 0 {
		t.Fatalf("there is no consumer %s", group)
	}
	return filters(set.Consumers[i].Config)
}

func filters(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return slices.Sorted(slices.Values(c.FilterSubjects))
}

// TestRouted: a consumer is given the filter of its route, and back what it had, with its
// position; all other consumers stay as they are.
func TestRouted(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	set := load(t, owners...)
	mustReconcile(t, js, set)
	publish := func(id string) {
		if _, err := js.Publish(t.Context(), "user.created."+id, nil); err != nil {
			t.Fatal(err)
		}
	}
	pending := func() uint64 {
		c, err := js.Consumer(t.Context(), "USERS", streams.NotificationUsers.Name)
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().NumPending
	}
	publish("a")
	publish("b")
	routed := set.Routed(map[string][]string{streams.NotificationUsers.Name: {"user.created.a", "user.created.c"}})
	log := mustReconcile(t, js, routed)
	if strings.Count(log, "msg=changed") != 1 || !strings.Contains(log, "setting=filter_subjects") {
		t.Error(log)
	}
	got := filters(consumerConfig(t, js, "USERS", streams.NotificationUsers.Name))
	if !slices.Equal(got, []string{"user.created.a", "user.created.c", "user.erased.*"}) || pending() != 1 {
		t.Errorf("it filters on %v and has %d pending", got, pending())
	}
	if log := mustReconcile(t, js, routed); log != "" {
		t.Error(log)
	}
	mustReconcile(t, js, set)
	if got, want := filters(consumerConfig(t, js, "USERS", streams.NotificationUsers.Name)), filtersOf(t, set, streams.NotificationUsers.Name); !slices.Equal(got, want) {
		t.Errorf("it filters on %v, not on %v", got, want)
	}
}

// TestRouteOfWhoMayNotSetUp: who may not change a consumer is told which one is out of
// date, and starts nothing.
func TestRouteOfWhoMayNotSetUp(t *testing.T) {
	t.Parallel()
	admin, service := restricted(t)
	set := load(t, "notification")
	mustReconcile(t, admin, set)
	_, err := reconcile(t, service, set.Routed(map[string][]string{streams.NotificationOrders.Name: {"order.created.a"}}))
	if !errors.Is(err, streams.ErrNotPermitted) || !strings.Contains(err.Error(), "consumer notification-orders of stream ORDERS is out of date") {
		t.Error(err)
	}
	if _, err := reconcile(t, service, set); err != nil {
		t.Error(err)
	}
}
