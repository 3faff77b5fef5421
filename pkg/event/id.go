package event

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"
)

// NewID returns a fresh UUIDv7 (RFC 9562, section 5.7): unique, and ordered by the
// time it was made.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

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
