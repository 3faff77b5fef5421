package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// schemaTries bounds how often a schema that others write at the same time is compared
// again.
const schemaTries = 10

// PublishSchemas stores the JSON Schema of every version of the store's event types in
// a KV bucket, under keys such as "order.created.v1", for those who read events
// without our types. The owner of a history calls it when it starts, before it writes:
// a schema that changed within its version is refused with a [*event.SchemaError],
// because stored events might no longer be read.
//
// A schema that only gained optional members takes the place of the stored one. One
// that only lacks such members belongs to an older release, during a roll-out or
// after a roll-back, and leaves the stored one as it is.
func (s *Store) PublishSchemas(ctx context.Context, bucket string) error {
	kv, err := s.js.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("schemas of %s: bucket %s: %w", s.stream.Entity, bucket, err)
	}
	for _, schema := range s.events.Schemas() {
		if err := publishSchema(ctx, kv, schema); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, err)
		}
	}
	return nil
}

func publishSchema(ctx context.Context, kv jetstream.KeyValue, schema event.Schema) (err error) {
	for range schemaTries {
		var stored jetstream.KeyValueEntry
		stored, err = kv.Get(ctx, schema.Key())
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			_, err = kv.Create(ctx, schema.Key(), schema.JSON)
		case err == nil:
			err = replaceSchema(ctx, kv, stored, schema)
		}
		if !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			break
		}
	}
	var changed *event.SchemaError
	if err == nil || errors.As(err, &changed) {
		return err
	}
	return fmt.Errorf("schema %s: %w", schema.Key(), err)
}

// replaceSchema puts schema where stored is, if it may and has something new.
func replaceSchema(ctx context.Context, kv jetstream.KeyValue, stored jetstream.KeyValueEntry, schema event.Schema) error {
	changes, err := event.CompareSchemas(stored.Value(), schema.JSON)
	if err != nil || onlyWithdrawn(changes) {
		return err
	}
	if err := schema.Succeed(stored.Value()); err != nil {
		return err
	}
	_, err = kv.Update(ctx, schema.Key(), schema.JSON, stored.Revision())
	return err
}

// onlyWithdrawn is also true of no changes.
func onlyWithdrawn(changes []event.Change) bool {
	for _, c := range changes {
		if c.Kind != event.MemberWithdrawn {
			return false
		}
	}
	return true
}
