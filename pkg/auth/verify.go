package auth

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// Config has the settings of a [Verifier].
type Config struct {
	Log *slog.Logger // default: discards

	Remember int           // tokens that need not be verified again; default 10,000
	Resync   time.Duration // how often all keys are read anew; default 5 min
	LookUps  int           // keys a second that are looked for because a token names them; default 10

	Now func() time.Time // default [time.Now]
}

// Verifier tells whose a token is. It follows the public keys in [Bucket] from Start
// to Stop. It is safe for concurrent use.
type Verifier struct {
	js  jetstream.JetStream
	cfg Config

	keys    keys
	proven  *lru.Cache[[sha256.Size]byte, proof]
	parser  *jwt.Parser
	looking singleflight.Group
	lookUps *rate.Limiter

	stop context.CancelFunc
	done chan struct{}
}

// proof is what a token has proved.
type proof struct {
	identity Identity
	key      *publicKey
	until    time.Time
}

// NewVerifier returns a verifier of tokens signed with the keys on js.
func NewVerifier(js jetstream.JetStream, cfg Config) *Verifier {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Remember = max(cmp.Or(cfg.Remember, 10_000), 1)
	cfg.Resync = cmp.Or(cfg.Resync, 5*time.Minute)
	cfg.LookUps = max(cmp.Or(cfg.LookUps, 10), 1)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	proven, err := lru.New[[sha256.Size]byte, proof](cfg.Remember)
	if err != nil {
		panic(fmt.Sprintf("auth: %v", err)) // it refuses sizes below 1 alone
	}
	return &Verifier{
		js: js, cfg: cfg, proven: proven,
		lookUps: rate.NewLimiter(rate.Limit(cfg.LookUps), cfg.LookUps),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(cfg.Now),
		),
	}
}

// Verify returns who the token speaks for. [ErrRefused] says that it proves nothing;
// any other error, that this cannot be told now. It does not wait for NATS unless the
// token names a key that is new, and then for at most two seconds. The roles belong to
// the verifier: do not change them.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	if len(token) > maxToken {
		return Identity{}, refused("it is too long")
	}
	hash := sha256.Sum256([]byte(token))
	if p, ok := v.proven.Get(hash); ok {
		if p.key.good(v.cfg.Now()) && v.cfg.Now().Before(p.until) {
			return p.identity, nil
		}
		v.proven.Remove(hash)
	}
	p, err := v.prove(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	v.proven.Add(hash, p)
	return p.identity, nil
}

// tokenPattern is stricter than base64 in Go, which passes over line breaks.
var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

func (v *Verifier) prove(ctx context.Context, token string) (proof, error) {
	if !tokenPattern.MatchString(token) {
		return proof{}, refused("it is malformed")
	}
	var (
		c       claims
		p       proof
		trouble error // not the token's
	)
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		id, err := header(t, &c, v.cfg.Now())
		if err != nil {
			return nil, err
		}
		p.key, err = v.key(ctx, id)
		if err == nil && !p.key.good(v.cfg.Now()) {
			err = refused("its key has expired")
		}
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				trouble = err
			}
			return nil, err
		}
		return ed25519.PublicKey(p.key.bytes), nil
	})
	if trouble != nil {
		return proof{}, trouble
	}
	if err != nil {
		return proof{}, reason(err)
	}
	p.until = c.ExpiresAt.Add(leeway)
	p.identity, err = c.identity()
	return p, err
}

// lookUpTimeout bounds looking for one key.
const lookUpTimeout = 2 * time.Second

// key returns the key of this name, looking into the bucket for one that is newer than
// what we have heard. That is bounded, as anybody can make up names.
func (v *Verifier) key(ctx context.Context, id string) (*publicKey, error) {
	if k := v.keys.get(id); k != nil {
		return k, nil
	}
	found := v.looking.DoChan(id, func() (any, error) {
		if !v.lookUps.AllowN(v.cfg.Now(), 1) {
			return nil, refused("its key is not known")
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpTimeout)
		defer cancel()
		return v.lookUp(ctx, id)
	})
	select {
	case result := <-found:
		k, _ := result.Val.(*publicKey)
		return k, result.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("look for key %s: %w", id, context.Cause(ctx))
	}
}

func (v *Verifier) lookUp(ctx context.Context, id string) (*publicKey, error) {
	bucket, err := v.js.KeyValue(ctx, Bucket)
	if err != nil {
		return nil, fmt.Errorf("look for key %s: open bucket %s: %w", id, Bucket, err)
	}
	entry, err := bucket.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, refused("its key is not known")
	}
	if err != nil {
		return nil, fmt.Errorf("look for key %s: %w", id, err)
	}
	k, err := decodeKey(id, entry.Value())
	if err != nil {
		v.cfg.Log.WarnContext(ctx, "public key is malformed", "key_id", id, "error", err)
		return nil, refused("its key is malformed")
	}
	if k = v.keys.found(id, k); k == nil {
		return nil, refused("its key was removed")
	}
	return k, nil
}
