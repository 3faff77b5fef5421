// Package event is the envelope: a CloudEvents 1.0 event as Sluice writes and
// reads it on NATS.
//
// An [Event] is one fact about one aggregate. Its type is the first two tokens of
// its subject (order.created), its Subject attribute is the aggregate's id, and
// its Data is JSON. Data types are plain structs that name their event:
//
//	type Created struct {
//		OrderID string `json:"order_id"`
//	}
//
//	func (Created) EventType() string { return "order.created" }
//
// A [Registry] lists the types of one entity and turns data into events and back. A
// type that changes gets a new schema version and an [Upcaster] from the one before,
// which every reader's events have been through: events are written at the current
// version, read at any older one, and never rewritten. [Registry.Schemas] says what
// each version looks like, and [Schema.Succeed] whether a change needs a new one.
//
// On the wire an event is written in the binary mode of the CloudEvents NATS
// protocol binding (attributes in ce- headers, the body is the data alone), and
// read in binary and in structured mode: see [Encode] and [Decode].
//
// The package knows nothing of streams; [sluice/pkg/eventstore] keeps events.
package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ContentType is the media type of every body Sluice writes.
const ContentType = "application/json"

// Data is the payload of one type of event. EventType returns the wire name, such
// as "order.created": a constant written out, never derived from the Go name, and
// it must not depend on the value.
type Data interface {
	EventType() string
}

// Event is one CloudEvent. The zero value is not valid; build events with
// [Registry.New] or read them with [Decode].
type Event struct { //nolint:recvcheck // a value; only what reads one changes it
	ID      string    // unique within Source; UUIDv7, or what an outsider chose
	Source  string    // who produced it: "/services/order"
	Type    string    // "order.created"
	Subject string    // the aggregate's id
	Time    time.Time // when it happened, UTC

	DataSchema      string // "sluice:/schemas/order.created/v1"
	DataContentType string // "application/json"; empty means the same
	Data            []byte // the payload, JSON

	CorrelationID string // the request that began it all
	CausationID   string // the command or event that directly caused this one
	UserID        string // who asked; empty when nobody is logged in
	Fingerprint   string // hash of the command, to tell a repeat from another request

	Version  uint64   // 1, 2, 3 … per aggregate; 0 outside history
	Previous []uint64 // stream sequences of the aggregate's events before this decision, newest first
	Step     int      // place in its decision, from 1; 0 outside history

	TraceParent string // W3C Trace Context
	TraceState  string

	Extensions map[string]string // further CloudEvents extensions

	Stream   string // where it was read; not on the wire
	Sequence uint64 // its stream sequence; not on the wire

	typed   Data      // what typedBy made of Data
	typedBy *Registry // nil when no registry has read the event: see Registry.Typed
}

// Of is an event whose data is decoded. The raw payload stays at Event.Data.
type Of[T Data] struct {
	Event
	Data T
}

// Entity returns the first token of the type: "order" of "order.created".
func (e Event) Entity() string {
	entity, _, _ := strings.Cut(e.Type, ".")
	return entity
}

// HistorySubject returns the NATS subject of the event in its aggregate's history,
// "order.created.<id>".
func (e Event) HistorySubject() string { return e.Type + "." + e.Subject }

// ErrInvalid is what every error about a malformed envelope, type or id wraps.
var ErrInvalid = errors.New("invalid event")

// CheckType reports whether t is a type Sluice can address: two tokens of
// [a-z0-9-], the second a past-tense verb by convention.
func CheckType(t string) error {
	entity, name, _ := strings.Cut(t, ".")
	if !isName(entity) || !isName(name) {
		return fmt.Errorf("%w: type %q is not <entity>.<event> in lower case", ErrInvalid, clip(t))
	}
	return nil
}

// isName reports whether s is 1 to 64 of [a-z0-9-].
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// CheckID reports whether id can name an aggregate: 1 to 128 of [A-Za-z0-9_-], so
// that it is one subject token and one KV key token.
func CheckID(id string) error {
	if !isID(id) {
		return fmt.Errorf("%w: aggregate id %q is not 1 to 128 of [A-Za-z0-9_-]", ErrInvalid, clip(id))
	}
	return nil
}

func isID(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
