package auth

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Users is the issuer that speaks for users.
const Users = "user"

// ErrRefused says that a token proves nothing.
var ErrRefused = errors.New("the token is no good")

const (
	maxToken    = 8 << 10   // bytes of a token
	maxLifetime = time.Hour // of a token
	maxUserID   = 128
)

// claims are what a token says.
type claims struct {
	jwt.RegisteredClaims

	Roles []Role `json:"roles,omitempty"`
}

// sign makes a token of id, good from now for lifetime.
func sign(private ed25519.PrivateKey, keyID, issuer string, id Identity, now time.Time, lifetime time.Duration) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: id.User,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Roles: id.Roles,
	})
	t.Header["kid"] = keyID
	signed, err := t.SignedString(private)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// header checks what a token says of itself, before its signature is. It returns the
// key that is said to have signed it.
func header(t *jwt.Token, c *claims, now time.Time) (keyID string, err error) {
	if _, critical := t.Header["crit"]; critical {
		return "", refused("it has a critical header that is not understood")
	}
	if typ, given := t.Header["typ"]; given && typ != "JWT" {
		return "", refused("it is of another type")
	}
	keyID, _ = t.Header["kid"].(string)
	issuer, ok := issuerOf(keyID)
	if !ok {
		return "", refused("it names no key")
	}
	switch {
	case c.Issuer != issuer:
		return "", refused("its issuer has not signed it")
	case len(t.Signature) != ed25519.SignatureSize:
		return "", refused("its signature is wrong")
	case c.ExpiresAt == nil || c.IssuedAt == nil || c.ExpiresAt.Sub(c.IssuedAt.Time) > maxLifetime:
		return "", refused("it is not short-lived")
	case !now.Before(c.ExpiresAt.Add(leeway)):
		return "", refused("it has expired")
	default:
		return keyID, nil
	}
}

// identity returns who a token speaks for, once it is verified.
func (c *claims) identity() (Identity, error) {
	if c.Issuer != Users || c.Subject == "" {
		return Identity{Service: c.Issuer}, nil
	}
	if len(c.Subject) > maxUserID {
		return Identity{}, refused("its subject is no user")
	}
	return Identity{User: c.Subject, Roles: slices.DeleteFunc(c.Roles, func(r Role) bool { return !r.Granted() })}, nil
}

// reason says in our words what the library found wrong: its own may repeat what the
// token holds.
func reason(err error) error {
	switch {
	case errors.Is(err, ErrRefused):
		return err
	case errors.Is(err, jwt.ErrTokenMalformed):
		return refused("it is malformed")
	case errors.Is(err, jwt.ErrTokenExpired):
		return refused("it has expired")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return refused("it is not valid yet")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return refused("its signature is wrong")
	default:
		return refused("its claims are wrong")
	}
}

func refused(why string) error { return fmt.Errorf("%w: %s", ErrRefused, why) }
