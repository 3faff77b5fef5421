package projection

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Config tunes how a model follows its stream. The zero value is ready to use.
type Config struct {
	Log *slog.Logger // default slog.Default()

	// ReadOnly watches what other processes fold and never folds.
	ReadOnly bool
	// StandBy is how long another writer must stand still, with events to fold,
	// before this one takes over. Default 2 s.
	StandBy time.Duration
	// Linger bounds how often batches are written when events trickle in: a batch is
	// written at once when the last is older than this, else when it is. Default 5 ms.
	Linger time.Duration
	// Erases overwrites on disk what the fold replaces or deletes, as a model with
	// personal data must. It costs a request for each such value, and the bucket must
	// be one of [ErasingBucketConfig].
	Erases bool
	// CacheSize is how many keys the fold keeps in memory. Default 10,000.
	CacheSize int
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.StandBy <= 0 {
		c.StandBy = 2 * time.Second
	}
	if c.Linger <= 0 {
		c.Linger = 5 * time.Millisecond
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 10_000
	}
	return c
}

// BucketConfig returns the stream behind a model's bucket: what `nats kv add` makes,
// with one value a key and atomic batches.
func BucketConfig(bucket string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              streamName(bucket),
		Subjects:          []string{keyPrefix(bucket) + ">"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxConsumers:      -1,
		MaxMsgSize:        -1,
		MaxMsgsPerSubject: 1,
		Replicas:          1,
		Duplicates:        2 * time.Minute,
		AllowDirect:       true,
		AllowRollup:       true,
		DenyDelete:        true,

		AllowAtomicPublish: true,
	}
}

// ErasingBucketConfig is [BucketConfig] for a model that overwrites what it replaces.
// A replaced value stays a message of its own until that is done, because what the
// server removes by itself stays on disk until it compacts the stream.
func ErasingBucketConfig(bucket string) jetstream.StreamConfig {
	c := BucketConfig(bucket)
	c.MaxMsgsPerSubject = 2
	c.DenyDelete = false
	return c
}

// checkBucket reports the first setting without which a model would not be exact, or
// could not erase although it shall.
func checkBucket(bucket string, c jetstream.StreamConfig, erases bool) error {
	var missing string
	switch {
	case erases && c.MaxMsgsPerSubject != 2:
		missing = "max_msgs_per_subject 2"
	case erases && c.DenyDelete:
		missing = "deny_delete off"
	case !c.AllowAtomicPublish:
		missing = "allow_atomic"
	case !c.AllowDirect:
		missing = "allow_direct"
	case !c.AllowRollup:
		missing = "allow_rollup_hdrs"
	case !erases && c.MaxMsgsPerSubject != 1:
		missing = "max_msgs_per_subject 1"
	case c.MaxAge > 0:
		missing = "max_age 0"
	default:
		return nil
	}
	return fmt.Errorf("bucket %s: stream %s must have %s", bucket, c.Name, missing)
}

func streamName(bucket string) string { return "KV_" + bucket }
func keyPrefix(bucket string) string  { return "$KV." + bucket + "." }
