package aggregate_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
)

var addOne = endpoint.Method[struct{}, struct{}]{Service: "counter", Name: "add", Idempotent: true, Auth: endpoint.Public}

// TestExpectedVersion: a decision that rests on another version than the latest is
// refused, also when this process has not heard of the latest, and a repeat is
// recognised first.
func TestExpectedVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := aggregate.New(eventstore.New(w.js, counters, types), apply)
	server := endpoint.Serve(w.Connect(t), endpoint.ServiceConfig{Name: "counter", Version: "1.0.0"},
		endpoint.Handle(addOne, func(ctx context.Context, _ struct{}) (struct{}, error) {
			_, err := w.all.Do(ctx, aggregate.Command[counter]{ID: "a", Decide: count(1)})
			return struct{}{}, err
		}))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	caller := endpoint.NewCaller(w.Connect(t), endpoint.CallerConfig{})
	add := func(expected int, key string) error {
		h := nats.Header{endpoint.HeaderExpectedVersion: {strconv.Itoa(expected)}}
		if key != "" {
			h[endpoint.HeaderIdempotencyKey] = []string{key}
		}
		_, err := caller.Forward(t.Context(), addOne.Spec(), h, nil)
		return err
	}
	stale := func(err error) bool {
		e, ok := errors.AsType[*endpoint.Error](err)
		return ok && e.Code == endpoint.CodeConflict && e.Status() == http.StatusPreconditionFailed
	}

	w.do(t, "a", open(5000)) // version 1
	if err := add(1, "k"); err != nil {
		t.Fatalf("at the expected version: %v", err)
	}
	if err := add(1, ""); !stale(err) {
		t.Errorf("at an older version: %v", err)
	}
	if err := add(3, ""); !stale(err) {
		t.Errorf("at a version that is not there yet: %v", err)
	}
	if err := add(1, "k"); err != nil {
		t.Errorf("a repeat of what had the right version: %v", err)
	}

	if _, err := other.Do(t.Context(), aggregate.Command[counter]{ID: "a", Decide: count(1)}); err != nil {
		t.Fatal(err)
	}
	if err := add(2, ""); !stale(err) {
		t.Errorf("at a version that another process has overtaken: %v", err)
	}
	if err := add(3, ""); err != nil {
		t.Errorf("at a version that only another process knows: %v", err)
	}
	result, err := w.all.Get(t.Context(), "a")
	if err != nil || result.Version != 4 || result.State.Count != 3 {
		t.Errorf("Get = %+v, %v", result, err)
	}
}
