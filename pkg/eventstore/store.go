// Package eventstore keeps the events of one entity in one JetStream stream: the
// stream is the store and the queue at once, so nothing is stored and not
// published, or the other way round.
//
// # Append
//
// [Store.Append] adds the events of one decision to one aggregate. It expects the
// aggregate to be where the caller saw it (a [Tail]) and fails with a
// [*ConflictError] otherwise. One event is one publish; several events, or an event
// with its uniqueness claims, are one atomic batch. Append returns after the
// stream's acknowledgement. When the acknowledgement is lost it asks the stream
// whether the events are there, so a success is reported as one.
//
// # Load
//
// Each event names the stream sequences of the events before it, so
// [Store.Load] needs no consumer: it reads the last message of the aggregate, then
// the ones before it in parallel, a dozen a round trip, however long the stream is.
// Where a link is missing or does not fit, it reads the aggregate's messages by
// their subjects instead.
//
// # All aggregates
//
// [Store.Replay] reads the events of all aggregates in their order, for audits and
// exports; [Store.Import] takes over a history from elsewhere, as fast as the stream
// allows. Where the server syncs each write to disk, [SyncAlways] makes concurrent
// appends share a sync.
//
// # What is genuine
//
// Anybody who may publish to the stream can put a message on an aggregate's
// subjects. A message counts only when it is a well-formed event of a known type
// whose version and links continue the aggregate; every reader skips the rest. See
// [Reader]. A publisher that forges an event which continues the aggregate in every
// respect is not told apart: that is what NATS permissions are for.
//
// # Erase
//
// An aggregate ends with an event called <entity>.erased. [Store.Erase] then deletes
// what was before it and overwrites it on disk, and that event is what the history
// begins with from then on. On an aggregate that lives it is an event like any other:
// somebody else's changes nothing.
//
// A Store is safe for concurrent use.
package eventstore

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"sluice/pkg/event"
)

const (
	readTimeout    = 5 * time.Second // of one read, after which its request or reply counts as lost
	publishTimeout = 2 * time.Second // after which an acknowledgement counts as lost
)

// Store appends to and reads from one history stream.
type Store struct {
	js      jetstream.JetStream
	api     string // prefix of the JetStream API's subjects, with the dot
	stream  Stream
	events  *event.Registry
	group   *group // nil: every decision is published alone
	drafts  drafts
	fetcher fetcher

	provider metric.MeterProvider
	meters   *meters
}

// New returns the store of the events that registry lists, in stream s, which must
// exist with the settings of [HistoryConfig]; [Store.Check] verifies that.
func New(js jetstream.JetStream, s Stream, registry *event.Registry, options ...Option) *Store {
	store := &Store{js: js, api: apiPrefix(js), stream: s, events: registry}
	for _, set := range options {
		set(store)
	}
	if store.provider == nil {
		store.provider = otel.GetMeterProvider()
	}
	store.meters = newMeters(store.provider, s, registry)
	return store
}

// apiPrefix returns what the subjects of the JetStream API begin with.
func apiPrefix(js jetstream.JetStream) string {
	return cmp.Or(js.Options().APIPrefix, jetstream.DefaultAPIPrefix)
}

// Check verifies that the stream exists and is fit to hold history.
func (s *Store) Check(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, s.stream.Name)
	if err != nil {
		return err
	}
	return CheckConfig(s.stream, stream.CachedInfo().Config)
}

// Stream returns the stream the store works on.
func (s *Store) Stream() Stream { return s.stream }

// Registry returns the event types of the store.
func (s *Store) Registry() *event.Registry { return s.events }

// JetStream returns the context the store was made with.
func (s *Store) JetStream() jetstream.JetStream { return s.js }
