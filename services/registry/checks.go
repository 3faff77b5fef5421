package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
)

// checks is the bucket that holds when each instance was checked last. It is no part of
// the history: a heartbeat every few seconds is news for nobody, and only the last one
// counts. Losing the bucket makes every status unknown until the next check.
type checks struct{ kv jetstream.KeyValue }

func checksKey(name, id string) string { return name + "." + id }

// get returns the zero record for an instance that was never checked.
func (c checks) get(ctx context.Context, name, id string) (checked, error) {
	entry, err := c.kv.Get(ctx, checksKey(name, id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return checked{}, nil
	}
	if err != nil {
		return checked{}, fmt.Errorf("read the last check of %s: %w", name, err)
	}
	var last checked
	if err := json.Unmarshal(entry.Value(), &last); err != nil {
		return checked{}, fmt.Errorf("read the last check of %s: %w", name, err)
	}
	return last, nil
}

func (c checks) put(ctx context.Context, name, id string, last checked) error {
	value, err := json.Marshal(last, json.Deterministic(true))
	if err == nil {
		_, err = c.kv.Put(ctx, checksKey(name, id), value)
	}
	if err != nil {
		return fmt.Errorf("note a check of %s: %w", name, err)
	}
	return nil
}

// forget removes the record of an instance that is gone. One that stays, after a crash,
// is of another registration and counts for nothing.
func (c checks) forget(ctx context.Context, name, id string) error {
	if err := c.kv.Purge(ctx, checksKey(name, id)); err != nil {
		return fmt.Errorf("forget the checks of %s: %w", name, err)
	}
	return nil
}
