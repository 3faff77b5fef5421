package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is the KV bucket with everybody's public keys. Each is a JSON Web Key under
// "<issuer>.<id>", kept until nothing that it signed is good any more.
const Bucket = "keys"

// leeway is how far apart the clocks of two machines may be.
const leeway = 30 * time.Second

// keyPattern is how keys are named.
var keyPattern = regexp.MustCompile(`^([a-z0-9-]{1,64})\.[a-z0-9]{1,64}$`)

// issuerOf returns the issuer that a key belongs to by its name.
func issuerOf(keyID string) (string, bool) {
	m := keyPattern.FindStringSubmatch(keyID)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// newKey makes a key of issuer, and a name for it.
func newKey(issuer string) (id string, private ed25519.PrivateKey, err error) {
	var name [8]byte
	if _, err := rand.Read(name[:]); err != nil {
		return "", nil, fmt.Errorf("name a key: %w", err)
	}
	id = issuer + "." + hex.EncodeToString(name[:])
	if _, ok := issuerOf(id); !ok {
		return "", nil, fmt.Errorf("name a key: issuer %q is not [a-z0-9-]", issuer)
	}
	if _, private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return "", nil, fmt.Errorf("make a key of %s: %w", issuer, err)
	}
	return id, private, nil
}

// public returns the public half.
func public(private ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(private[ed25519.SeedSize:])
}

// jwk is a public key as the bucket has it: RFC 8037, and when it expires.
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
	Expires   int64  `json:"exp"`
}

func encodeKey(id string, public ed25519.PublicKey, until time.Time) ([]byte, error) {
	return json.Marshal(jwk{
		Type: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(public),
		ID: id, Algorithm: "EdDSA", Use: "sig", Expires: until.Unix(),
	})
}

// decodeKey reads the key that the bucket has under id.
func decodeKey(id string, value []byte) (*publicKey, error) {
	issuer, ok := issuerOf(id)
	if !ok {
		return nil, errors.New("its name is not like order.0f3a")
	}
	var k jwk
	if err := json.Unmarshal(value, &k); err != nil {
		return nil, fmt.Errorf("it is no JSON Web Key: %w", err)
	}
	if k.Type != "OKP" || k.Curve != "Ed25519" || k.Algorithm != "EdDSA" || k.Use != "sig" || k.ID != id {
		return nil, errors.New("it is no Ed25519 key for signatures of this name")
	}
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("it has no 32 bytes")
	}
	return &publicKey{issuer: issuer, bytes: x, until: time.Unix(k.Expires, 0)}, nil
}

// publish puts a public key into the bucket until it expires. To do so again is fine.
func publish(ctx context.Context, js jetstream.JetStream, id string, public ed25519.PublicKey, until, now time.Time) error {
	value, err := encodeKey(id, public, until)
	if err != nil {
		return fmt.Errorf("publish key %s: %w", id, err)
	}
	left := until.Sub(now).Round(time.Second) + time.Second // NATS takes whole seconds
	if _, err := js.Publish(ctx, "$KV."+Bucket+"."+id, value, jetstream.WithMsgTTL(left)); err != nil {
		return fmt.Errorf("publish key %s: %w", id, err)
	}
	return nil
}
