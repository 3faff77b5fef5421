package streams_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/natstest"
	"sluice/streams"
)

// oneStream is a set of one history and one consumer that tests bend.
func oneStream(t *testing.T) streams.Set {
	t.Helper()
	set := load(t, "user")
	users := declared(t, set, "USERS")
	users.MaxMsgs, users.MaxBytes, users.MaxMsgsPerSubject, users.MaxConsumers = 1000, 1<<20, 100, 10
	users.MaxAge = time.Hour
	guard := set.Consumers[slices.IndexFunc(set.Consumers, func(c streams.Consumer) bool { return c.Config.Durable == "user-guard" })]
	return streams.Set{Streams: []jetstream.StreamConfig{users}, Consumers: []streams.Consumer{guard}}
}

func TestHarmlessChangesAreApplied(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig){
		"description": func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.Description = "other" },
		"metadata": func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			s.Metadata = map[string]string{"team": "a"}
		},
		"subjects added": func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			s.Subjects = append(s.Subjects, "more.*")
		},
		"max_msgs":             func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxMsgs = 2000 },
		"max_msgs off":         func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxMsgs = -1 },
		"max_bytes":            func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxBytes *= 2 },
		"max_msgs_per_subject": func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxMsgsPerSubject = -1 },
		"max_msg_size":         func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxMsgSize *= 2 },
		"max_age":              func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxAge *= 2 },
		"max_age off":          func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxAge = 0 },
		"duplicate_window":     func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.Duplicates *= 2 },
		"republish changed": func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			s.RePublish.Destination = "live.{{wildcard(1)}}"
		},
		"republish off":        func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.RePublish = nil },
		"ack_wait":             func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { c.AckWait = time.Minute },
		"max_ack_pending":      func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { c.MaxAckPending = 7 },
		"consumer description": func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { c.Description = "other" },
		"pinned for longer":    func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { c.PinnedTTL *= 2 },
		"consumer metadata": func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
			c.Metadata = map[string]string{"team": "a"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.Start(t).JetStream(t)
			mustReconcile(t, js, oneStream(t))
			want := oneStream(t)
			bend(&want.Streams[0], &want.Consumers[0].Config)
			mustReconcile(t, js, want)
			if got := streamConfig(t, js, "USERS"); !equalStream(got, want.Streams[0]) {
				t.Errorf("\n got %+v\nwant %+v", got, want.Streams[0])
			}
			if got := consumerConfig(t, js, "USERS", "user-guard"); !equalConsumer(got, want.Consumers[0].Config) {
				t.Errorf("\n got %+v\nwant %+v", got, want.Consumers[0].Config)
			}
			if log := mustReconcile(t, js, want); log != "" {
				t.Errorf("the change does not hold:\n%s", log)
			}
		})
	}
}

func TestDirectGetAndBatchesAreSwitchedOn(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	old := oneStream(t)
	old.Streams[0].AllowDirect, old.Streams[0].AllowAtomicPublish = false, false
	mustReconcile(t, js, old)
	mustReconcile(t, js, oneStream(t))
	if got := streamConfig(t, js, "USERS"); !got.AllowDirect || !got.AllowAtomicPublish {
		t.Errorf("got %+v", got)
	}
}

// What an operator has set on the server outlives a start that changes other things.
func TestOperatorsSettingsStay(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	set := oneStream(t)
	mustReconcile(t, js, set)
	config := streamConfig(t, js, "USERS")
	config.Metadata["team"] = "a"
	slices.Reverse(config.Subjects)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	pause := time.Now().Add(time.Hour)
	if _, err := js.PauseConsumer(t.Context(), "USERS", "user-guard", pause); err != nil {
		t.Fatal(err)
	}
	if log := mustReconcile(t, js, set); log != "" {
		t.Errorf("the operator's settings were touched:\n%s", log)
	}
	set.Streams[0].Description = "other"
	set.Consumers[0].Config.AckWait = time.Minute
	mustReconcile(t, js, set)
	if got := streamConfig(t, js, "USERS"); got.Metadata["team"] != "a" || got.Description != "other" {
		t.Errorf("stream: got %+v", got)
	}
	if got := consumerConfig(t, js, "USERS", "user-guard"); got.PauseUntil == nil || !got.PauseUntil.Equal(pause) || got.AckWait != time.Minute {
		t.Errorf("consumer: got %+v", got)
	}
}

func unpin(c *jetstream.ConsumerConfig) {
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
}

// A consumer that all clients shared may be pinned to one of them.
func TestSharedConsumerBecomesPinned(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	shared := oneStream(t)
	unpin(&shared.Consumers[0].Config)
	mustReconcile(t, js, shared)
	want := oneStream(t)
	mustReconcile(t, js, want)
	if got := consumerConfig(t, js, "USERS", "user-guard"); !equalConsumer(got, want.Consumers[0].Config) {
		t.Errorf("\n got %+v\nwant %+v", got, want.Consumers[0].Config)
	}
	if _, err := reconcile(t, js, shared); err == nil {
		t.Error("a pinned consumer became shared")
	}
}

// A new filter holds from the consumer's position on: what was handled is not
// handled again, and older messages are not dug up.
func TestFilterChangeKeepsThePosition(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	set := oneStream(t)
	unpin(&set.Consumers[0].Config)
	set.Consumers[0].Config.FilterSubject = "user.created.*"
	mustReconcile(t, js, set)
	publish := func(subject string) {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	next := func(want string) {
		consumer, err := js.Consumer(t.Context(), "USERS", "user-guard")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if msg.Subject() != want {
			t.Fatalf("got %s, want %s", msg.Subject(), want)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	publish("user.renamed.1")
	publish("user.created.1")
	next("user.created.1")
	set.Consumers[0].Config.FilterSubject = ""
	set.Consumers[0].Config.FilterSubjects = []string{"user.renamed.*", "user.created.*"}
	mustReconcile(t, js, set)
	publish("user.renamed.2")
	publish("user.created.2")
	next("user.renamed.2")
	next("user.created.2")
	set.Consumers[0].Config.FilterSubjects = []string{"user.created.*", "user.renamed.*"}
	if log := mustReconcile(t, js, set); log != "" {
		t.Errorf("the order of filters counts:\n%s", log)
	}
	set.Consumers[0].Config.FilterSubject, set.Consumers[0].Config.FilterSubjects = "user.created.*", nil
	mustReconcile(t, js, set)
	publish("user.created.3")
	next("user.created.3")
}

// With credentials that may look but not create, an intact server is enough; else
// the error says what is missing.
func TestCredentialsThatMayNotCreate(t *testing.T) {
	t.Parallel()
	admin, service := restricted(t)
	set := oneStream(t)
	_, err := reconcile(t, service, set)
	if !errors.Is(err, streams.ErrNotPermitted) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"stream USERS is missing", "consumer user-guard of stream USERS is missing"} {
		if !contains(err, want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	mustReconcile(t, admin, set)
	mustReconcile(t, service, set)
}

func restricted(t *testing.T) (admin, service jetstream.JetStream) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{
			{Username: "admin"},
			{Username: "service", Permissions: &server.Permissions{Publish: &server.SubjectPermission{
				Allow: []string{"$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.*.*"},
			}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not get ready")
	}
	connect := func(user string) jetstream.JetStream {
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(user, ""), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(500*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	return connect("admin"), connect("service")
}
