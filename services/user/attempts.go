package user

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// How attempts to log in slow down: a few are free, then one has to wait.
const (
	freeAttempts = 5
	firstWait    = time.Second
	longestWait  = 15 * time.Minute
)

// attempts slows down who guesses passwords. It counts by the name that was given,
// whether there is such a user or not, in a bucket that all replicas share. No name is
// stored, only what a keyed hash makes of it.
//
// An attempt counts as failed before it is made, so that many at once are no way
// around. One that succeeds takes back all.
type attempts struct {
	bucket jetstream.KeyValue
	key    []byte // of the hash
}

// failures is what is stored under a name.
type failures struct {
	Count int       `json:"count"`
	Until time.Time `json:"until,omitzero"` // when the next attempt may be made
}

func openAttempts(ctx context.Context, js jetstream.JetStream, key []byte) (attempts, error) {
	bucket, err := js.KeyValue(ctx, streams.BucketLoginAttempts)
	if err != nil {
		return attempts{}, fmt.Errorf("open bucket %s: %w", streams.BucketLoginAttempts, err)
	}
	return attempts{bucket: bucket, key: key}, nil
}

// next returns what an attempt at now makes of the failures, or how long it has to wait.
func (f failures) next(now time.Time) (failures, time.Duration) {
	if wait := f.Until.Sub(now); wait > 0 {
		return f, min(wait, longestWait)
	}
	f.Count++
	f.Until = time.Time{}
	if over := f.Count - freeAttempts; over >= 0 {
		f.Until = now.Add(min(firstWait<<min(over, 20), longestWait))
	}
	return f, 0
}

// begin counts an attempt under a name, or refuses it as rate limited.
func (a attempts) begin(ctx context.Context, name string) error {
	const tries = 20
	key := a.hash(name)
	for range tries {
		had, revision, err := a.read(ctx, key)
		if err != nil {
			return err
		}
		has, wait := had.next(time.Now())
		if wait > 0 {
			return endpoint.RateLimited("too many attempts failed", wait)
		}
		err = a.write(ctx, key, has, revision)
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
	// So many at once are no person's.
	return endpoint.RateLimited("too many attempts at once", firstWait)
}

// succeeded takes back the failures under a name.
func (a attempts) succeeded(ctx context.Context, name string) error {
	value, err := json.Marshal(failures{})
	if err == nil {
		_, err = a.bucket.Put(ctx, a.hash(name), value)
	}
	if err != nil {
		return fmt.Errorf("take back failed attempts: %w", err)
	}
	return nil
}

func (a attempts) read(ctx context.Context, key string) (failures, uint64, error) {
	entry, err := a.bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return failures{}, 0, nil
	}
	var f failures
	if err == nil {
		err = json.Unmarshal(entry.Value(), &f)
	}
	if err != nil {
		return failures{}, 0, fmt.Errorf("count attempts: %w", err)
	}
	return f, entry.Revision(), nil
}

func (a attempts) write(ctx context.Context, key string, f failures, revision uint64) error {
	value, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("count attempts: %w", err)
	}
	if revision == 0 {
		_, err = a.bucket.Create(ctx, key, value)
	} else {
		_, err = a.bucket.Update(ctx, key, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return errOvertaken
	}
	if err != nil {
		return fmt.Errorf("count attempts: %w", err)
	}
	return nil
}

func (a attempts) hash(name string) string {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte("attempt\x00"))
	mac.Write([]byte(userapi.Normalize(name)))
	return hex.EncodeToString(mac.Sum(nil)[:20])
}
