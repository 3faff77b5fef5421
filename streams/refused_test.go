package streams_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/natstest"
	"sluice/streams"
)

func contains(err error, s string) bool { return strings.Contains(err.Error(), s) }

// Each row is a difference that could lose messages or a position. It is refused by
// name, and the harmless changes beside it are not made either.
func TestChangesThatCouldLoseSomethingAreRefused(t *testing.T) {
	t.Parallel()
	sc := func(bend func(s *jetstream.StreamConfig)) func(*jetstream.StreamConfig, *jetstream.ConsumerConfig) {
		return func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { bend(s) }
	}
	cc := func(bend func(c *jetstream.ConsumerConfig)) func(*jetstream.StreamConfig, *jetstream.ConsumerConfig) {
		return func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { bend(c) }
	}
	sequence := uint64(3)
	for _, row := range []struct {
		setting, is, wanted string
		bend                func(*jetstream.StreamConfig, *jetstream.ConsumerConfig)
	}{
		{"subjects", `["user.*.*","user.*.*.*"]`, `["user.*.*"]`, sc(func(s *jetstream.StreamConfig) { s.Subjects = s.Subjects[:1] })},
		{"subjects", `["user.*.*","user.*.*.*"]`, `["user.*.*","other.*"]`, sc(func(s *jetstream.StreamConfig) { s.Subjects = []string{"user.*.*", "other.*"} })},
		{"retention", `"limits"`, `"interest"`, sc(func(s *jetstream.StreamConfig) { s.Retention = jetstream.InterestPolicy })},
		{"retention", `"limits"`, `"workqueue"`, sc(func(s *jetstream.StreamConfig) { s.Retention = jetstream.WorkQueuePolicy })},
		{"storage", `"file"`, `"memory"`, sc(func(s *jetstream.StreamConfig) { s.Storage = jetstream.MemoryStorage })},
		{"discard", `"new"`, `"old"`, sc(func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld })},
		{"discard_new_per_subject", "false", "true", sc(func(s *jetstream.StreamConfig) { s.DiscardNewPerSubject = true })},
		{"max_msgs", "1000", "999", sc(func(s *jetstream.StreamConfig) { s.MaxMsgs = 999 })},
		{"max_bytes", "1048576", "1048575", sc(func(s *jetstream.StreamConfig) { s.MaxBytes-- })},
		{"max_msgs_per_subject", "100", "1", sc(func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 1 })},
		{"max_msg_size", "524288", "1024", sc(func(s *jetstream.StreamConfig) { s.MaxMsgSize = 1024 })},
		{"max_consumers", "10", "1", sc(func(s *jetstream.StreamConfig) { s.MaxConsumers = 1 })},
		{"max_age", "3600000000000", "1800000000000", sc(func(s *jetstream.StreamConfig) { s.MaxAge /= 2 })},
		{"duplicate_window", "120000000000", "1000000000", sc(func(s *jetstream.StreamConfig) { s.Duplicates = time.Second })},
		{"allow_atomic", "true", "false", sc(func(s *jetstream.StreamConfig) { s.AllowAtomicPublish = false })},
		{"allow_rollup_hdrs", "false", "true", sc(func(s *jetstream.StreamConfig) { s.AllowRollup = true })},
		{"allow_msg_ttl", "false", "true", sc(func(s *jetstream.StreamConfig) { s.AllowMsgTTL = true })},
		{"subject_delete_marker_ttl", "0", "1000000000", sc(func(s *jetstream.StreamConfig) { s.SubjectDeleteMarkerTTL = time.Second })},
		{"allow_msg_schedules", "false", "true", sc(func(s *jetstream.StreamConfig) { s.AllowMsgSchedules = true })},
		{"allow_msg_counter", "false", "true", sc(func(s *jetstream.StreamConfig) { s.AllowMsgCounter = true })},
		{"allow_batched", "true", "false", sc(func(s *jetstream.StreamConfig) { s.AllowBatchPublish = false })},
		{"persist_mode", `"default"`, `"async"`, sc(func(s *jetstream.StreamConfig) { s.PersistMode = jetstream.AsyncPersistMode })},
		{"no_ack", "false", "true", sc(func(s *jetstream.StreamConfig) { s.NoAck = true })},
		{"sealed", "false", "true", sc(func(s *jetstream.StreamConfig) { s.Sealed = true })},
		{"deny_delete", "false", "true", sc(func(s *jetstream.StreamConfig) { s.DenyDelete = true })},
		{"deny_purge", "false", "true", sc(func(s *jetstream.StreamConfig) { s.DenyPurge = true })},
		{"compression", `"none"`, `"s2"`, sc(func(s *jetstream.StreamConfig) { s.Compression = jetstream.S2Compression })},
		{"mirror", "unset", `{"name":"OTHER","opt_start_seq":0}`, sc(func(s *jetstream.StreamConfig) { s.Mirror = &jetstream.StreamSource{Name: "OTHER"} })},
		{"sources", "unset", `[{"name":"OTHER","opt_start_seq":0}]`, sc(func(s *jetstream.StreamConfig) { s.Sources = []*jetstream.StreamSource{{Name: "OTHER"}} })},
		{"subject_transform", "unset", `{"src":"user.>","dest":"x.>"}`, sc(func(s *jetstream.StreamConfig) {
			s.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "user.>", Destination: "x.>"}
		})},

		{"deliver_policy", `"all"`, `"new"`, cc(func(c *jetstream.ConsumerConfig) { c.DeliverPolicy = jetstream.DeliverNewPolicy })},
		{"opt_start_seq", "0", "3", cc(func(c *jetstream.ConsumerConfig) { c.OptStartSeq = sequence })},
		{"ack_policy", `"explicit"`, `"none"`, cc(func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy })},
		{"max_deliver", "-1", "3", cc(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 })},
		{"replay_policy", `"instant"`, `"original"`, cc(func(c *jetstream.ConsumerConfig) { c.ReplayPolicy = jetstream.ReplayOriginalPolicy })},
		{"max_waiting", "512", "1", cc(func(c *jetstream.ConsumerConfig) { c.MaxWaiting = 1 })},
		{"inactive_threshold", "0", "60000000000", cc(func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Minute })},
		{"headers_only", "false", "true", cc(func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true })},
		{"priority_policy", `"pinned_client"`, `"overflow"`, cc(func(c *jetstream.ConsumerConfig) {
			c.PriorityPolicy, c.PinnedTTL = jetstream.PriorityPolicyOverflow, 3*time.Second
		})},
		{"mem_storage", "false", "true", cc(func(c *jetstream.ConsumerConfig) { c.MemoryStorage = true })},
	} {
		t.Run(row.setting+" "+row.wanted, func(t *testing.T) {
			t.Parallel()
			js := natstest.Start(t).JetStream(t)
			before := oneStream(t)
			mustReconcile(t, js, before)
			want := oneStream(t)
			want.Streams[0].Description = "must not be applied"
			want.Consumers[0].Config.AckWait = time.Minute
			want.Streams = append(want.Streams, jetstream.StreamConfig{Name: "NEW", Subjects: []string{"new.*"}})
			row.bend(&want.Streams[0], &want.Consumers[0].Config)

			log, err := reconcile(t, js, want)
			refused, ok := errors.AsType[*streams.RefusedError](err)
			if !ok || log != "" {
				t.Fatalf("got %v, log %q", err, log)
			}
			if len(refused.Refusals) != 1 {
				t.Fatalf("got %d refusals: %v", len(refused.Refusals), err)
			}
			got := refused.Refusals[0]
			if got.Stream != "USERS" || got.Setting != row.setting || got.Is != row.is || got.Wanted != row.wanted {
				t.Errorf("got %+v", got)
			}
			if !contains(err, "stream USERS") || !contains(err, row.setting+" is "+row.is+", wanted "+row.wanted) {
				t.Errorf("the message does not name it: %v", err)
			}
			if got := streamConfig(t, js, "USERS"); !equalStream(got, before.Streams[0]) {
				t.Errorf("the stream was changed: %+v", got)
			}
			if got := consumerConfig(t, js, "USERS", "user-guard"); !equalConsumer(got, before.Consumers[0].Config) {
				t.Errorf("the consumer was changed: %+v", got)
			}
			if _, err := js.Stream(t.Context(), "NEW"); !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("another stream was created: %v", err)
			}
		})
	}
}
