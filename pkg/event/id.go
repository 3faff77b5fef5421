package event

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
)

// NewID returns a fresh UUIDv7 (RFC 9562, section 5.7): unique, and ordered by the
// time it was made.
func NewID() string { return uuid.Must(uuid.NewV7FromReader(random{})).String() }

// random reads from the runtime's generator, ChaCha8 with a seed of the system's: an id
// has to be unique, it is no secret, and asking the system each time takes a microsecond.
type random struct{}

// Read is part of [io.Reader].
func (random) Read(p []byte) (int, error) {
	var b [8]byte
	for n := 0; n < len(p); n += copy(p[n:], b[:]) {
		binary.NativeEndian.PutUint64(b[:], rand.Uint64()) //nolint:gosec // G404: see above
	}
	return len(p), nil
}

// DeriveID returns the UUIDv8 (RFC 9562, section 5.8) that stands for parts: the
// same parts give the same id in every process, and different parts never meet
// (each part is hashed with its length).
func DeriveID(parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	id := uuid.UUID(h.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// IsUUID reports whether id is a UUID in its canonical lower-case form, which is
// what Sluice's own services use as aggregate ids.
func IsUUID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
