package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	serviceLifetime = 5 * time.Minute  // of a service's token
	serviceRenew    = time.Minute      // before its end there is a new one
	serviceKey      = time.Hour        // how long a service's key is published for
	serviceRefresh  = 30 * time.Minute // how often that is said again
	markerTTL       = 10 * time.Minute // how long the bucket says that a key was removed
)

// ServiceTokens makes the tokens with which a service speaks for itself. The key is made
// when the first token is wanted, is never stored, and goes with the process. It is safe
// for concurrent use.
type ServiceTokens struct {
	js      jetstream.JetStream
	service string

	slot    chan struct{} // who makes a token holds it
	current atomic.Pointer[serviceToken]

	id        string
	private   ed25519.PrivateKey
	published time.Time
}

type serviceToken struct {
	text string
	made time.Time
}

func (t *serviceToken) fresh(now time.Time) bool {
	return t != nil && now.Sub(t.made) < serviceLifetime-serviceRenew
}

// NewServiceTokens returns the tokens of a service, whose public key will lie in
// [Bucket] on js. The issuer [Users] speaks as the service, for no user.
func NewServiceTokens(js jetstream.JetStream, service string) *ServiceTokens {
	return &ServiceTokens{js: js, service: service, slot: make(chan struct{}, 1)}
}

// Token returns a token that is good for a minute at least. Most of the time it is at
// hand; now and then, NATS is told the key first.
func (s *ServiceTokens) Token(ctx context.Context) (string, error) {
	if t := s.current.Load(); t.fresh(time.Now()) {
		return t.text, nil
	}
	select {
	case s.slot <- struct{}{}:
		defer func() { <-s.slot }()
	case <-ctx.Done():
		return "", fmt.Errorf("make a token of %s: %w", s.service, context.Cause(ctx))
	}
	now := time.Now()
	if t := s.current.Load(); t.fresh(now) {
		return t.text, nil
	}
	if err := s.prepare(ctx, now); err != nil {
		return "", fmt.Errorf("make a token of %s: %w", s.service, err)
	}
	text, err := sign(s.private, s.id, s.service, Identity{}, now, serviceLifetime)
	if err != nil {
		return "", fmt.Errorf("make a token of %s: %w", s.service, err)
	}
	s.current.Store(&serviceToken{text: text, made: now})
	return text, nil
}

// prepare sees to it that the key is there for everybody, for longer than the token.
func (s *ServiceTokens) prepare(ctx context.Context, now time.Time) error {
	if s.private == nil {
		id, private, err := newKey(s.service)
		if err != nil {
			return err
		}
		s.id, s.private = id, private
	}
	if !s.published.IsZero() && now.Sub(s.published) < serviceRefresh {
		return nil
	}
	if err := publish(ctx, s.js, s.id, public(s.private), now.Add(serviceKey), now); err != nil {
		return err
	}
	s.published = now
	return nil
}

// Close takes the key away, and with it all tokens that it signed. Without NATS the key
// goes by itself within the hour.
func (s *ServiceTokens) Close(ctx context.Context) error {
	select {
	case s.slot <- struct{}{}: // for good: there are no more tokens
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.current.Store(nil)
	if s.published.IsZero() {
		return nil
	}
	bucket, err := s.js.KeyValue(ctx, Bucket)
	if err == nil {
		err = bucket.Purge(ctx, s.id, jetstream.PurgeTTL(markerTTL))
	}
	if err != nil && !errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("remove key %s: %w", s.id, err)
	}
	return nil
}
