package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
)

// rig is what one contest runs on. All of it is gone after close.
type rig struct {
	quick   bool
	sync    string
	url     string // of the NATS server, once it runs
	closers []func() error
}

// How often the server syncs files to disk.
const (
	defaultSync = "2m"     // nats-server's own, and ours: survives a kill of the process, not a power cut
	syncAlways  = "always" // before each acknowledgement: survives both
)

// size is how much a round does.
func (r *rig) size(full, quick int) int {
	if r.quick {
		return quick
	}
	return full
}

// launch starts a process that ends with the contest.
func (r *rig) launch(ctx context.Context, args ...string) (*process, error) {
	p, err := launch(ctx, args...)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, p.stop)
	return p, nil
}

// jetStream returns a new connection to the contest's server, which is started by the
// first call. Each side gets its own.
func (r *rig) jetStream(ctx context.Context, options ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	if r.url == "" {
		interval := r.sync
		if interval == "" {
			interval = defaultSync
		}
		server, err := r.launch(ctx, modeNATS, interval)
		if err != nil {
			return nil, err
		}
		r.url = server.said["NATS"]
	}
	nc, err := nats.Connect(r.url, nats.NoReconnect())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	r.closers = append(r.closers, func() error {
		nc.Close()
		return nil
	})
	return jetstream.New(nc, options...)
}

// history returns a new connection on which a history stream for s was made. All
// sides write to streams that are set up alike.
func (r *rig) history(ctx context.Context, s eventstore.Stream) (jetstream.JetStream, error) {
	js, err := r.jetStream(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := js.CreateStream(ctx, eventstore.HistoryConfig(s)); err != nil {
		return nil, fmt.Errorf("create stream %s: %w", s.Name, err)
	}
	return js, nil
}

func (r *rig) close() error {
	var errs []error
	for _, c := range slices.Backward(r.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
