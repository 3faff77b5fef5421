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

// checkBucket reports the first setting without which a model would not be exact.
func checkBucket(bucket string, c jetstream.StreamConfig) error {
	var missing string
	switch {
	case !c.AllowAtomicPublish:
		missing = "allow_atomic"
	case !c.AllowDirect:
		missing = "allow_direct"
	case !c.AllowRollup:
		missing = "allow_rollup_hdrs"
	case c.MaxMsgsPerSubject != 1:
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
