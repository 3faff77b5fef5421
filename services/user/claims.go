package user

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// claims turns names into claims, hashed with a key of the service's own, so that
// the stream does not tell who is there to somebody who tries names.
type claims struct{ key []byte }

// openClaims reads the key, and makes it at the first start. Of several replicas
// that start at once one makes it.
func openClaims(ctx context.Context, js jetstream.JetStream) (claims, error) {
	const name = "claims"
	bucket, err := js.KeyValue(ctx, streams.BucketUserKeys)
	if err != nil {
		return claims{}, fmt.Errorf("open bucket %s: %w", streams.BucketUserKeys, err)
	}
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return claims{}, fmt.Errorf("make the key of claims: %w", err)
	}
	_, err = bucket.Create(ctx, name, key)
	if err == nil {
		return claims{key: key}, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return claims{}, fmt.Errorf("store the key of claims: %w", err)
	}
	entry, err := bucket.Get(ctx, name)
	if err != nil {
		return claims{}, fmt.Errorf("read the key of claims: %w", err)
	}
	return claims{key: entry.Value()}, nil
}

func (c claims) username(name string) eventstore.Claim { return c.claim("username", name) }

func (c claims) email(address string) eventstore.Claim { return c.claim("email", address) }

// transfer gives back what u is no longer called and takes the names it has now. Two
// spellings of one name are one claim, which stays.
func (c claims) transfer(u userapi.User, username, email string) []eventstore.Claim {
	var moved []eventstore.Claim
	for _, pair := range [][2]eventstore.Claim{
		{c.username(u.Username), c.username(cmp.Or(username, u.Username))},
		{c.email(u.Email), c.email(cmp.Or(email, u.Email))},
	} {
		if before, now := pair[0], pair[1]; before != now {
			before.Release = true
			moved = append(moved, before, now)
		}
	}
	return moved
}

// release gives back all that u is called.
func (c claims) release(u userapi.User) []eventstore.Claim {
	username, email := c.username(u.Username), c.email(u.Email)
	username.Release, email.Release = true, true
	return []eventstore.Claim{username, email}
}

func (c claims) claim(name, value string) eventstore.Claim {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(name))
	mac.Write([]byte{0})
	mac.Write([]byte(userapi.Normalize(value)))
	return eventstore.Claim{Name: name, Hash: hex.EncodeToString(mac.Sum(nil)[:20])}
}
