package user

import (
	"cmp"
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

// nobodyID is where the password of nobody is looked for, and not found.
const nobodyID = "nobody"

// nobody is the hash of a random password, to compare with when there is no user.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$c2x1aWNlLXNsdWljZS1zbA$Zk0YmT2y3rD9xI3zv3b5yJm0Rk2Wc1m6m0wq8h3k9ZQ"

// passwords keeps one argon2id hash a user. Hashing is bounded to one at a time for
// each processor, since each takes memory and all of a core.
type passwords struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	slots  *semaphore.Weighted

	compare func(password, hash string) (bool, error) // argon2id's
}

func openPasswords(ctx context.Context, js jetstream.JetStream) (*passwords, error) {
	bucket, err := js.KeyValue(ctx, streams.BucketPasswords)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", streams.BucketPasswords, err)
	}
	return &passwords{
		js: js, bucket: bucket, slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))), compare: argon2id.ComparePasswordAndHash,
	}, nil
}

// create stores the hash of password unless the user has one, and reports whether it
// did.
func (p *passwords) create(ctx context.Context, user, password string) (bool, error) {
	hash, err := p.hash(ctx, password)
	if err != nil {
		return false, err
	}
	_, err = p.bucket.Create(ctx, user, hash)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store password of user %s: %w", user, err)
	}
	return true, nil
}

// errOvertaken says that somebody else changed it meanwhile.
var errOvertaken = errors.New("it was changed meanwhile")

// replace stores the hash of another password in place of that of a revision, 0 for
// none, or fails with [errOvertaken].
func (p *passwords) replace(ctx context.Context, user, password string, revision uint64) error {
	hash, err := p.hash(ctx, password)
	if err != nil {
		return err
	}
	if revision == 0 {
		_, err = p.bucket.Create(ctx, user, hash)
	} else {
		_, err = p.bucket.Update(ctx, user, hash, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = errOvertaken
	}
	if err != nil {
		return fmt.Errorf("replace password of user %s: %w", user, err)
	}
	return nil
}

func (p *passwords) hash(ctx context.Context, password string) ([]byte, error) {
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	defer p.slots.Release(1)
	hash, err := argon2id.CreateHash(password, &hashing)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return []byte(hash), nil
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

// revision returns which password the user has, by a number that no other has; 0 for
// none.
func (p *passwords) revision(ctx context.Context, user string) (uint64, error) {
	entry, err := p.bucket.Get(ctx, user)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read password of user %s: %w", user, err)
	}
	return entry.Revision(), nil
}

// match returns the revision of the user's password if password is it, else 0. An
// unknown user, or one without a password, costs as much as a wrong password.
func (p *passwords) match(ctx context.Context, user, password string) (revision uint64, err error) {
	hash, user := nobody, cmp.Or(user, nobodyID)
	entry, err := p.bucket.Get(ctx, user)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, fmt.Errorf("read password of user %s: %w", user, err)
	}
	if err == nil {
		hash, revision = string(entry.Value()), entry.Revision()
	}
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return 0, fmt.Errorf("check password: %w", err)
	}
	defer p.slots.Release(1)
	matches, err := p.compare(password, hash)
	if err != nil {
		return 0, fmt.Errorf("check password of user %s: %w", user, err)
	}
	if !matches {
		return 0, nil
	}
	return revision, nil
}
