package streams_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
	"sluice/streams"
)

var owners = []string{"user", "order", "notification", "registry"}

func load(t *testing.T, owners ...string) streams.Set {
	t.Helper()
	set, err := streams.Load(owners...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// reconcile runs Reconcile and returns what it logged.
func reconcile(t *testing.T, js jetstream.JetStream, set streams.Set) (string, error) {
	t.Helper()
	var log bytes.Buffer
	err := set.Reconcile(t.Context(), js, slog.New(slog.NewTextHandler(&log, nil)))
	return log.String(), err
}

func mustReconcile(t *testing.T, js jetstream.JetStream, set streams.Set) string {
	t.Helper()
	log, err := reconcile(t, js, set)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// The files are golden: what the server reports after creating them is what they say.
func TestServerReportsWhatTheFilesSay(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	set := load(t, owners...)
	mustReconcile(t, js, set)
	for _, want := range set.Streams {
		if got := streamConfig(t, js, want.Name); !equalStream(got, want) {
			t.Errorf("stream %s\n got %+v\nwant %+v", want.Name, got, want)
		}
	}
	for _, want := range set.Consumers {
		if got := consumerConfig(t, js, want.Stream, want.Config.Durable); !equalConsumer(got, want.Config) {
			t.Errorf("consumer %s\n got %+v\nwant %+v", want.Config.Durable, got, want.Config)
		}
	}
	if log := mustReconcile(t, js, set); log != "" {
		t.Errorf("a second run changed something:\n%s", log)
	}
}

func TestHistoriesAreWhatTheStoreNeeds(t *testing.T) {
	t.Parallel()
	set := load(t, owners...)
	for _, s := range []eventstore.Stream{streams.Users, streams.Orders, streams.Notifications, streams.Services, streams.Alerts} {
		if got, want := declared(t, set, s.Name), eventstore.HistoryConfig(s); !equalStream(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", s.Name, got, want)
		}
	}
}

func TestStateOfGroupsIsWhatTheBusNeeds(t *testing.T) {
	t.Parallel()
	got, want := declared(t, load(t), "KV_"+streams.BucketReactions), bus.StateBucketConfig()
	if !equalStream(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

// One replica of a service at a time handles what is in order.
func TestGroupsInOrderArePinned(t *testing.T) {
	t.Parallel()
	for _, c := range load(t, owners...).Consumers {
		pinned := c.Config.PriorityPolicy == jetstream.PriorityPolicyPinned && c.Config.PinnedTTL > 0 && len(c.Config.PriorityGroups) == 1
		if !pinned && c.Stream != streams.DeadLetters {
			t.Errorf("consumer %s of %s is not pinned", c.Config.Durable, c.Stream)
		}
	}
}

func TestReadModelsAreWhatProjectionsNeed(t *testing.T) {
	t.Parallel()
	set := load(t, owners...)
	for _, bucket := range []string{
		streams.BucketUsers, streams.BucketOrders, streams.BucketOrderUsers,
		streams.BucketNotifications, streams.BucketNotificationUsers, streams.BucketServices, streams.BucketAlerts,
	} {
		got, want := declared(t, set, "KV_"+bucket), projection.BucketConfig(bucket)
		if bucket == streams.BucketUsers || bucket == streams.BucketNotificationUsers { // they hold names
			want = projection.ErasingBucketConfig(bucket)
		}
		got.Description = want.Description // says more than the toolkit can know
		if !equalStream(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", bucket, got, want)
		}
	}
}

func TestEveryGroupHasItsConsumer(t *testing.T) {
	t.Parallel()
	groups := []bus.Group{
		streams.UserIntake, streams.OrderIntake,
		streams.UserGuard, streams.OrderGuard, streams.NotificationGuard, streams.RegistryGuard, streams.AlertsGuard,
		streams.NotificationUsers, streams.NotificationOrders, streams.NotificationAlerts, streams.UserErasure,
		streams.OrderTimers, streams.OrderDue,
	}
	for _, g := range slices.Clone(groups) {
		if g.Redrive {
			consumer, _ := bus.RedriveConsumer(g.Name)
			groups = append(groups, bus.Group{Stream: bus.DeadLetterStream, Name: consumer})
		}
	}
	set := load(t, owners...)
	for _, g := range groups {
		if !slices.ContainsFunc(set.Consumers, func(c streams.Consumer) bool {
			return c.Stream == g.Stream && c.Config.Durable == g.Name && c.Config.Name == g.Name
		}) {
			t.Errorf("no file declares the consumer of %s on %s", g.Name, g.Stream)
		}
	}
	if len(set.Consumers) != len(groups) {
		t.Errorf("%d consumers are declared in files and %d groups in Go", len(set.Consumers), len(groups))
	}
}

// Dead letters can be redriven unless they are those of a guard, which deletes what it
// gives up.
func TestRedriveConsumersFilterOnTheirGroup(t *testing.T) {
	t.Parallel()
	for _, c := range load(t, owners...).Consumers {
		group, ok := strings.CutSuffix(c.Config.Durable, "-redrive")
		if name, filter := bus.RedriveConsumer(group); ok && (c.Config.Name != name || c.Config.FilterSubject != filter || c.Stream != streams.DeadLetters) {
			t.Errorf("consumer %s of %s filters on %s", c.Config.Name, c.Stream, c.Config.FilterSubject)
		}
	}
	for _, guard := range []bus.Group{streams.UserGuard, streams.OrderGuard, streams.NotificationGuard, streams.RegistryGuard, streams.AlertsGuard} {
		if guard.Redrive {
			t.Errorf("%s takes redriven letters", guard.Name)
		}
	}
}

func TestBucketsOpenAsBuckets(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	set := load(t, owners...)
	mustReconcile(t, js, set)
	buckets := []string{
		streams.BucketUsers, streams.BucketOrders, streams.BucketOrderSnapshots, streams.BucketOrderUsers, streams.BucketNotifications,
		streams.BucketNotificationUsers, streams.BucketPasswords, streams.BucketUserKeys, streams.BucketSchemas, streams.BucketReactions,
		streams.BucketServices, streams.BucketServiceSnapshots, streams.BucketServiceChecks, streams.BucketAlerts,
		streams.BucketKeys, streams.BucketSigningKeys, streams.BucketSessions, streams.BucketLoginAttempts,
	}
	for _, name := range buckets {
		kv, err := js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := kv.PutString(t.Context(), "key", "value"); err != nil {
			t.Errorf("%s: put: %v", name, err)
		}
	}
	count := 0
	for _, s := range set.Streams {
		if strings.HasPrefix(s.Name, "KV_") {
			count++
		}
	}
	if count != len(buckets) {
		t.Errorf("%d buckets are declared in files and %d in Go", count, len(buckets))
	}
}

// A service that starts before the owner of a history it reads must not wait for it,
// nor must it judge that history.
func TestForeignHistoryIsCreatedAndThenLeftAlone(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	changed := declared(t, load(t, "user"), "USERS")
	changed.MaxMsgs = 5
	if _, err := js.CreateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, js, load(t, "notification"))
	if got := streamConfig(t, js, "USERS").MaxMsgs; got != 5 {
		t.Errorf("max_msgs of the foreign stream became %d", got)
	}
	if _, err := js.Stream(t.Context(), "ORDERS"); err != nil {
		t.Errorf("the foreign stream was not created: %v", err)
	}
	if _, err := js.Stream(t.Context(), "ORDERS_INTAKE"); err == nil {
		t.Error("another owner's intake was created")
	}
}

func TestOwnerWithoutFilesHasThePlatformOnly(t *testing.T) {
	t.Parallel()
	set := load(t, "gateway")
	var names []string
	for _, s := range set.Streams {
		names = append(names, s.Name)
	}
	want := []string{streams.DeadLetters, "KV_" + streams.BucketKeys, "KV_" + streams.BucketReactions, "KV_" + streams.BucketSchemas, bus.TimerStream}
	if !slices.Equal(names, want) || len(set.Consumers) != 0 {
		t.Errorf("got %+v", set)
	}
}

func TestServicesStartingTogether(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	errs := make(chan error, 16)
	for range cap(errs) {
		js := srv.JetStream(t)
		go func() {
			errs <- streams.Reconcile(context.WithoutCancel(t.Context()), js, slog.New(slog.DiscardHandler), 1, owners...)
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func declared(t *testing.T, set streams.Set, name string) jetstream.StreamConfig {
	t.Helper()
	i := slices.IndexFunc(set.Streams, func(c jetstream.StreamConfig) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("stream %s is not declared", name)
	}
	return set.Streams[i]
}

func streamConfig(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatalf("stream %s: %v", name, err)
	}
	return s.CachedInfo().Config
}

func consumerConfig(t *testing.T, js jetstream.JetStream, stream, name string) jetstream.ConsumerConfig {
	t.Helper()
	c, err := js.Consumer(t.Context(), stream, name)
	if err != nil {
		t.Fatalf("consumer %s: %v", name, err)
	}
	return c.CachedInfo().Config
}

func ownMetadata(m map[string]string) map[string]string {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(k, _ string) bool { return strings.HasPrefix(k, "_nats.") })
	if len(m) == 0 {
		return nil
	}
	return m
}
