package projection

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

// Config tunes how a model follows its stream. The zero value is ready to use.
type Config struct {
	Log *slog.Logger // default slog.Default()
	// Meters take position, lag, rate and rebuild of the model, in OpenTelemetry's way:
	// sluice.projection.*, at the cost of a [Runner.Status] each time they are read.
	// Default: the process's, which by default is nobody's.
	Meters metric.MeterProvider

	// ReadOnly watches what other processes fold and never folds.
	ReadOnly bool
	// StandBy is how long another writer must stand still, with events to fold,
	// before this one takes over. Default 2 s.
	StandBy time.Duration
	// Linger is how long folded events wait for others that are known to be on their
	// way, so that they are stored together. The last one never waits. When a thousand
	// are on their way it is 100 ms. Default 5 ms.
	Linger time.Duration
	// Poison says what becomes of an event that the fold can't take. Default [Park].
	Poison Poison
	// Erases overwrites on disk what the fold replaces or deletes, as a model with
	// personal data must. It costs a request for each such value, and the bucket must
	// be one of [ErasingBucketConfig].
	Erases bool
	// Grace is how long the old values of a rebuilt model are kept, for processes that
	// still read them. It must be several times StandBy. Default 1 min.
	Grace time.Duration
	// CacheSize is how many keys the fold keeps in memory. Default 50,000.
	CacheSize int
	// CacheBytes bounds the memory for them. Default 64 MiB.
	CacheBytes int
}

// Poison says what becomes of an event whose fold fails or panics.
type Poison int

const (
	// Park stops the model in front of the event, see [ParkedError], until a release
	// that can fold it takes over.
	Park Poison = iota
	// Skip goes on without the event, and counts it, see [Status]. An event that this
	// program is too old for parks the model all the same.
	Skip
)

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Meters == nil {
		c.Meters = otel.GetMeterProvider()
	}
	if c.StandBy <= 0 {
		c.StandBy = 2 * time.Second
	}
	if c.Linger <= 0 {
		c.Linger = 5 * time.Millisecond
	}
	if c.Grace <= 0 {
		c.Grace = time.Minute
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 50_000
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = 64 << 20
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
