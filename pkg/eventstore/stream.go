package eventstore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MaxMessageSize bounds one message of a history stream, headers included, in
// bytes. It is half of the server's default payload limit, so that a dead letter,
// which wraps a message, always fits.
const MaxMessageSize = 512 << 10

// Stream names a history stream and the entity whose events it holds.
type Stream struct {
	Name   string // "ORDERS"
	Entity string // "order"
}

// History returns the subject of every event of the stream: exactly three tokens.
func (s Stream) History() string { return s.Entity + ".*.*" }

// Of returns the subject filter of one aggregate's events. All writers use this one
// filter, to the letter, for optimistic concurrency: on a replicated stream, writes
// that expect on different filters are not checked against each other while in
// flight.
func (s Stream) Of(id string) string { return s.Entity + ".*." + id }

// HistoryConfig returns the configuration a history stream must have: kept for
// ever, refusing new events when it is full, with direct get, atomic batches and
// fast ingest, and with a live copy of every event under feed. Rollup, message TTL, delete
// markers and schedules are off, because any publisher could wipe history with them.
func HistoryConfig(s Stream) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        s.Name,
		Description: "History of every " + s.Entity + ": events, and claims on unique values",
		Subjects:    []string{s.History(), s.Entity + ".*.*.*"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		MaxMsgs:     -1, MaxBytes: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1,
		MaxMsgSize:         MaxMessageSize,
		Replicas:           1,
		Duplicates:         2 * time.Minute,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		AllowBatchPublish:  true,
		RePublish: &jetstream.RePublish{
			Source:      s.History(),
			Destination: "feed." + s.Entity + ".{{wildcard(1)}}.{{wildcard(2)}}",
		},
	}
}

// CheckConfig reports the first setting of c that a history stream must not have.
func CheckConfig(s Stream, c jetstream.StreamConfig) error {
	switch {
	case !c.AllowAtomicPublish:
		return fmt.Errorf("stream %s: allow_atomic is off", s.Name)
	case !c.AllowDirect:
		return fmt.Errorf("stream %s: allow_direct is off", s.Name)
	case c.AllowRollup, c.AllowMsgTTL, c.AllowMsgSchedules, c.SubjectDeleteMarkerTTL > 0:
		return fmt.Errorf("stream %s: rollup, message TTL, schedules or delete markers are on, so a publisher could wipe history", s.Name)
	case c.Retention != jetstream.LimitsPolicy, c.Discard != jetstream.DiscardNew, c.MaxAge > 0, c.MaxMsgsPerSubject > 0:
		return fmt.Errorf("stream %s: its limits would remove events", s.Name)
	case !slices.Contains(c.Subjects, s.History()):
		return fmt.Errorf("stream %s: subjects %s lack %s", s.Name, strings.Join(c.Subjects, " "), s.History())
	}
	return nil
}
