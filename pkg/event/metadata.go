package event

import "context"

// Metadata says why something happens. It travels in the context from the request
// to every event the request leads to; the zero value is an anonymous cause.
type Metadata struct {
	CorrelationID string // the request that began it all
	CausationID   string // the command or event being handled now
	UserID        string // who asked

	// Keyed says that CausationID was derived from an idempotency key, so the same
	// command may come again and must find what it did the first time.
	Keyed bool
	// Fingerprint is a hash of the command's content without secrets. Two commands
	// with one key and different fingerprints are a mistake of the caller.
	Fingerprint string
}

// NewID returns the id for an aggregate that the current command creates: derived
// from the command when the caller gave an idempotency key, else fresh.
func (m Metadata) NewID(entity string) string {
	if m.Keyed {
		return DeriveID("aggregate", entity, m.CausationID)
	}
	return NewID()
}

type metadataKey struct{}

// WithMetadata returns a context that carries m.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m)
}

// MetadataFrom returns what [WithMetadata] put there, or the zero value.
func MetadataFrom(ctx context.Context) Metadata {
	m, _ := ctx.Value(metadataKey{}).(Metadata)
	return m
}

// CausedBy returns a context for handling e: what happens in it has e as its cause
// and shares e's correlation id and user.
func CausedBy(ctx context.Context, e Event) context.Context {
	correlation := e.CorrelationID
	if correlation == "" {
		correlation = e.ID
	}
	return WithMetadata(ctx, Metadata{CorrelationID: correlation, CausationID: e.ID, UserID: e.UserID, Keyed: true})
}
