package auth

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
)

// RingConfig has the settings of a [Ring].
type RingConfig struct {
	Bucket string // with the private keys, which nobody else may read; required

	Period   time.Duration // for which one key signs; default 30 days
	Lifetime time.Duration // of a token; default 15 min, at most an hour

	Log *slog.Logger     // default: discards
	Now func() time.Time // default [time.Now]
}

// Ring makes tokens of users, signed by keys that it shares with all replicas of the
// service that is their issuer: they lie in a bucket of that service. One key signs at
// a time. Its successor is published before its time comes, and its public half stays
// until the last token that it signed has expired.
//
// Keys are replaced early by deleting the issuer's entry in the bucket, and no token
// signed with one is good any more when the public half is deleted from [Bucket].
type Ring struct {
	js     jetstream.JetStream
	issuer string
	cfg    RingConfig
	ahead  time.Duration // how long before its time a key is published

	keys atomic.Pointer[[]signingKey] // all published

	stop context.CancelFunc
	done chan struct{}
}

// signingKey is one key of a ring, as its bucket has it.
type signingKey struct {
	ID    string    `json:"id"`
	Seed  []byte    `json:"seed"`
	From  time.Time `json:"from"` // when it begins to sign
	Until time.Time `json:"until"`

	private ed25519.PrivateKey
}

type ringRecord struct {
	Keys []signingKey `json:"keys"` // the oldest first
}

// NewRing returns a ring for an issuer, whose public keys lie in [Bucket] on js.
func NewRing(js jetstream.JetStream, issuer string, cfg RingConfig) *Ring {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Period = cmp.Or(cfg.Period, 30*24*time.Hour)
	cfg.Lifetime = min(cmp.Or(cfg.Lifetime, 15*time.Minute), maxLifetime)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Ring{js: js, issuer: issuer, cfg: cfg, ahead: min(5*time.Minute, cfg.Period/4)}
}

// Start reads the keys, or makes the first, and sees to them from then on.
func (r *Ring) Start(ctx context.Context) error {
	if err := r.maintain(ctx); err != nil {
		return err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.done = stop, make(chan struct{})
	go func() {
		defer close(r.done)
		r.run(life)
	}()
	return nil
}

// Stop leaves the keys as they are.
func (r *Ring) Stop(ctx context.Context) error {
	if r.stop == nil {
		return nil
	}
	r.stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop seeing to the keys of %s: %w", r.issuer, context.Cause(ctx))
	}
}

// Health fails when there is no key to sign with.
func (r *Ring) Health() error {
	_, err := r.signing(r.cfg.Now())
	return err
}

// Issue returns a token of a user and how long it is good.
func (r *Ring) Issue(id Identity) (token string, lifetime time.Duration, err error) {
	now := r.cfg.Now()
	k, err := r.signing(now)
	if err != nil {
		return "", 0, err
	}
	token, err = sign(k.private, k.ID, r.issuer, id, now, r.cfg.Lifetime)
	return token, r.cfg.Lifetime, err
}

// signing returns the newest key whose time has come.
func (r *Ring) signing(now time.Time) (signingKey, error) {
	if keys := r.keys.Load(); keys != nil {
		for _, k := range slices.Backward(*keys) {
			if !now.Before(k.From) && now.Before(k.Until) {
				return k, nil
			}
		}
	}
	return signingKey{}, fmt.Errorf("%s has no key to sign with", r.issuer)
}

// run looks at the keys often enough for every replica to know a key before its time.
func (r *Ring) run(ctx context.Context) {
	tick := time.NewTicker(min(30*time.Second, max(r.ahead/8, 20*time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := r.maintain(attempt)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "signing keys not seen to, will retry", "error", err)
		}
	}
}

// maintain brings the ring up to date: in its bucket, then in the bucket of public
// keys, then here.
func (r *Ring) maintain(ctx context.Context) error {
	bucket, err := r.js.KeyValue(ctx, r.cfg.Bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", r.cfg.Bucket, err)
	}
	const attempts = 10
	for attempt := 1; ; attempt++ {
		now := r.cfg.Now()
		record, revision, err := r.read(ctx, bucket)
		if err != nil {
			return err
		}
		next, changed, err := r.next(record, now)
		if err != nil {
			return err
		}
		if changed {
			err = r.write(ctx, bucket, next, revision)
		}
		if overtaken := errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch); overtaken && attempt < attempts {
			continue // another replica was faster
		}
		if err != nil {
			return err
		}
		return r.take(ctx, next, now)
	}
}

// next returns the keys that there should be now: without those whose time is over,
// and with a successor for one whose time ends soon.
func (r *Ring) next(have []signingKey, now time.Time) (next []signingKey, changed bool, err error) {
	next = slices.DeleteFunc(slices.Clone(have), func(k signingKey) bool { return !now.Before(k.Until) })
	changed = len(next) != len(have)
	from := now
	if n := len(next); n > 0 {
		if from = next[n-1].Until; now.Before(from.Add(-r.ahead)) {
			return next, changed, nil
		}
	}
	id, private, err := newKey(r.issuer)
	if err != nil {
		return nil, false, err
	}
	if len(next) > 0 { // the first is no news
		r.cfg.Log.Info("new signing key", "key_id", id, "from", from)
	}
	return append(next, signingKey{ID: id, Seed: private.Seed(), From: from, Until: from.Add(r.cfg.Period), private: private}), true, nil
}

// take publishes the keys that are new here, and signs with them from then on.
func (r *Ring) take(ctx context.Context, keys []signingKey, now time.Time) error {
	var taken []signingKey
	if before := r.keys.Load(); before != nil {
		taken = *before
	}
	for i := range keys {
		k := &keys[i]
		if slices.ContainsFunc(taken, func(t signingKey) bool { return t.ID == k.ID }) {
			continue
		}
		if err := publish(ctx, r.js, k.ID, public(k.private), k.Until.Add(r.cfg.Lifetime+leeway), now); err != nil {
			return err
		}
	}
	r.keys.Store(&keys)
	return nil
}

func (r *Ring) read(ctx context.Context, bucket jetstream.KeyValue) ([]signingKey, uint64, error) {
	entry, err := bucket.Get(ctx, r.issuer)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the signing keys of %s: %w", r.issuer, err)
	}
	var record ringRecord
	if err := json.Unmarshal(entry.Value(), &record); err != nil {
		return nil, 0, fmt.Errorf("read the signing keys of %s: they are malformed", r.issuer)
	}
	for i := range record.Keys {
		k := &record.Keys[i]
		if issuer, ok := issuerOf(k.ID); !ok || issuer != r.issuer || len(k.Seed) != ed25519.SeedSize {
			return nil, 0, fmt.Errorf("read the signing keys of %s: key %d is malformed", r.issuer, i+1)
		}
		k.private = ed25519.NewKeyFromSeed(k.Seed)
	}
	return record.Keys, entry.Revision(), nil
}

func (r *Ring) write(ctx context.Context, bucket jetstream.KeyValue, keys []signingKey, revision uint64) error {
	value, err := json.Marshal(ringRecord{Keys: keys})
	if err != nil {
		return fmt.Errorf("store the signing keys of %s: %w", r.issuer, err)
	}
	if revision == 0 {
		_, err = bucket.Create(ctx, r.issuer, value)
	} else {
		_, err = bucket.Update(ctx, r.issuer, value, revision)
	}
	if err != nil {
		return fmt.Errorf("store the signing keys of %s: %w", r.issuer, err)
	}
	return nil
}
