package user

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/streams"
)

// errSession says that a refresh token is good no more, or never was.
var errSession = errors.New("the session is over, or never was")

// sessions keeps who is logged in. A session has one refresh token at a time: each is
// good once and leads to the next. One that comes again was stolen, or its successor
// was, so the session ends. Only hashes are stored. A session that nobody goes on with
// is forgotten after 30 days.
type sessions struct {
	bucket jetstream.KeyValue
	log    *slog.Logger
}

func openSessions(ctx context.Context, js jetstream.JetStream, log *slog.Logger) (*sessions, error) {
	bucket, err := js.KeyValue(ctx, streams.BucketSessions)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", streams.BucketSessions, err)
	}
	return &sessions{bucket: bucket, log: log}, nil
}

// session is what is stored of one, under "<user>.<hash of its name>".
type session struct {
	Secret     []byte `json:"secret"`     // hash of that of the token which is good now
	Credential uint64 `json:"credential"` // the password that it began with, by its revision: a later one is higher

	token    refreshToken
	revision uint64
}

// user returns the id of who it is.
func (s session) user() string { return s.token.user.String() }

// refreshToken is what a user has to show: who it is, which session, and a secret that
// is good once.
type refreshToken struct {
	user   uuid.UUID
	name   [16]byte
	secret [32]byte
}

func (t refreshToken) String() string {
	b := make([]byte, 0, len(t.user)+len(t.name)+len(t.secret))
	b = append(append(append(b, t.user[:]...), t.name[:]...), t.secret[:]...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseRefreshToken(text string) (t refreshToken, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(t.user)+len(t.name)+len(t.secret) {
		return t, errSession
	}
	rest := b[copy(t.user[:], b):]
	copy(t.secret[:], rest[copy(t.name[:], rest):])
	return t, nil
}

func (t refreshToken) key() string {
	name := sha256.Sum256(t.name[:])
	return t.user.String() + "." + hex.EncodeToString(name[:16])
}

func (t refreshToken) hash() []byte {
	secret := sha256.Sum256(t.secret[:])
	return secret[:]
}

// begin returns the first token of a session of a user who proved the password of that
// revision.
func (s *sessions) begin(ctx context.Context, user string, credential uint64) (string, error) {
	var t refreshToken
	var err error
	if t.user, err = uuid.Parse(user); err != nil {
		return "", fmt.Errorf("begin a session of user %s: %w", user, err)
	}
	if _, err := rand.Read(t.name[:]); err != nil {
		return "", fmt.Errorf("begin a session of user %s: %w", user, err)
	}
	if _, err := rand.Read(t.secret[:]); err != nil {
		return "", fmt.Errorf("begin a session of user %s: %w", user, err)
	}
	value, err := json.Marshal(session{Secret: t.hash(), Credential: credential})
	if err == nil {
		_, err = s.bucket.Create(ctx, t.key(), value)
	}
	if err != nil {
		return "", fmt.Errorf("begin a session of user %s: %w", user, err)
	}
	return t.String(), nil
}

// find returns the session that a token is good for, or [errSession]. A token that was
// good before ends it.
func (s *sessions) find(ctx context.Context, token string) (session, error) {
	t, err := parseRefreshToken(token)
	if err != nil {
		return session{}, err
	}
	entry, err := s.bucket.Get(ctx, t.key())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return session{}, errSession
	}
	if err != nil {
		return session{}, fmt.Errorf("look for a session of user %s: %w", t.user, err)
	}
	found := session{token: t, revision: entry.Revision()}
	if err := json.Unmarshal(entry.Value(), &found); err != nil {
		return session{}, fmt.Errorf("read a session of user %s: it is malformed", t.user)
	}
	if subtle.ConstantTimeCompare(found.Secret, t.hash()) != 1 {
		return session{}, s.again(ctx, t)
	}
	return found, nil
}

// renew returns the token that comes after the one which found the session. Of two
// requests with one token the later ends the session, as it would a moment after.
func (s *sessions) renew(ctx context.Context, found session) (string, error) {
	next := found.token
	if _, err := rand.Read(next.secret[:]); err != nil {
		return "", fmt.Errorf("renew a session of user %s: %w", next.user, err)
	}
	found.Secret = next.hash()
	value, err := json.Marshal(found)
	if err == nil {
		_, err = s.bucket.Update(ctx, next.key(), value, found.revision)
	}
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return "", s.again(ctx, found.token)
	}
	if err != nil {
		return "", fmt.Errorf("renew a session of user %s: %w", next.user, err)
	}
	return next.String(), nil
}

// again ends a session whose token came a second time.
func (s *sessions) again(ctx context.Context, t refreshToken) error {
	s.log.WarnContext(ctx, "a refresh token came again, its session is ended", "user_id", t.user.String())
	if err := s.remove(ctx, t.key()); err != nil {
		return err
	}
	return errSession
}

// end ends the session of a token, also of one that was good before. That there is none
// is fine.
func (s *sessions) end(ctx context.Context, token string) error {
	t, err := parseRefreshToken(token)
	if err != nil {
		return nil //nolint:nilerr // there is no session of no token
	}
	return s.remove(ctx, t.key())
}

// endAll ends all sessions of a user. To do so again is fine.
func (s *sessions) endAll(ctx context.Context, user string) error {
	list, err := s.bucket.ListKeysFiltered(ctx, user+".*")
	if err != nil {
		return fmt.Errorf("list the sessions of user %s: %w", user, err)
	}
	var keys []string
	for key := range list.Keys() {
		keys = append(keys, key)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list the sessions of user %s: %w", user, err) // it may be cut short
	}
	for _, key := range keys {
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (s *sessions) remove(ctx context.Context, key string) error {
	if err := s.bucket.Purge(ctx, key); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}
