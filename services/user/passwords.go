package user

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/alexedwards/argon2id"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"sluice/pkg/eventstore"
	"sluice/streams"
)

// hashing follows OWASP's password storage cheat sheet for argon2id: 19 MiB, two
// passes, one lane.
var hashing = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// nobody is the hash of a random password, to compare with when there is no user.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$c2x1aWNlLXNsdWljZS1zbA$Zk0YmT2y3rD9xI3zv3b5yJm0Rk2Wc1m6m0wq8h3k9ZQ"

// passwords keeps one argon2id hash a user. Hashing is bounded to one at a time for
// each processor, since each takes memory and all of a core.
type passwords struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	slots  *semaphore.Weighted
}

func openPasswords(ctx context.Context, js jetstream.JetStream) (*passwords, error) {
	bucket, err := js.KeyValue(ctx, streams.BucketPasswords)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", streams.BucketPasswords, err)
	}
	return &passwords{js: js, bucket: bucket, slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}, nil
}

// create stores the hash of password unless the user has one, and reports whether it
// did.
func (p *passwords) create(ctx context.Context, user, password string) (bool, error) {
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return false, fmt.Errorf("hash password: %w", err)
	}
	hash, err := argon2id.CreateHash(password, &hashing)
	p.slots.Release(1)
	if err != nil {
		return false, fmt.Errorf("hash password: %w", err)
	}
	_, err = p.bucket.Create(ctx, user, []byte(hash))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store password of user %s: %w", user, err)
	}
	return true, nil
}

// remove overwrites the hash of a user who did not come into being, or is no more.
func (p *passwords) remove(ctx context.Context, user string) error {
	entry, err := p.bucket.Get(ctx, user)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err == nil {
		err = eventstore.Overwrite(ctx, p.js, "KV_"+streams.BucketPasswords, entry.Revision())
	}
	if err != nil {
		return fmt.Errorf("remove password of user %s: %w", user, err)
	}
	return nil
}

// matches reports whether password is the user's. An unknown user, or one without a
// password, costs as much as a wrong password.
func (p *passwords) matches(ctx context.Context, user, password string) (bool, error) {
	hash, known := nobody, false
	if user != "" {
		entry, err := p.bucket.Get(ctx, user)
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return false, fmt.Errorf("read password of user %s: %w", user, err)
		}
		if err == nil {
			hash, known = string(entry.Value()), true
		}
	}
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	defer p.slots.Release(1)
	matches, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("check password of user %s: %w", user, err)
	}
	return matches && known, nil
}
