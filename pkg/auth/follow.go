package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	startTimeout = 2 * time.Second // for the keys that are there at the start
	minPause     = 250 * time.Millisecond
	maxPause     = 30 * time.Second
)

// Start reads the keys that are there and follows the bucket from then on. That there
// is no bucket yet, or that it does not answer, is no error: the verifier tries again
// until it is stopped, and looks for keys meanwhile.
func (v *Verifier) Start(ctx context.Context) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop, v.done = stop, make(chan struct{})
	loaded := make(chan struct{})
	go func() {
		defer close(v.done)
		v.run(life, sync.OnceFunc(func() { close(loaded) }))
	}()
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-loaded:
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// Stop ends following. The keys that are known go on.
func (v *Verifier) Stop(ctx context.Context) error {
	if v.stop == nil {
		return nil
	}
	v.stop()
	select {
	case <-v.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop following bucket %s: %w", Bucket, context.Cause(ctx))
	}
}

// run follows the bucket, beginning anew now and then: so nothing that was missed, and
// no bucket that was replaced, goes unnoticed for long. It says tried after the first
// attempt, and whenever all keys are in.
func (v *Verifier) run(ctx context.Context, tried func()) {
	pause := minPause
	for {
		err := v.follow(ctx, func() {
			pause = minPause
			tried()
		})
		tried()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, jetstream.ErrBucketNotFound) {
			v.cfg.Log.WarnContext(ctx, "public keys cannot be followed, will retry", "error", err)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		case <-ctx.Done():
			return
		}
	}
}

var errWatchEnded = errors.New("the watch has ended")

// follow reads all keys, says so, and takes in changes until it is time for a resync.
func (v *Verifier) follow(ctx context.Context, loaded func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opening, opened := context.WithTimeout(ctx, lookUpTimeout)
	defer opened()
	bucket, err := v.js.KeyValue(opening, Bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", Bucket, err)
	}
	watch, err := bucket.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", Bucket, err)
	}
	defer func() {
		if err := watch.Stop(); err != nil {
			v.cfg.Log.DebugContext(ctx, "watch not stopped", "error", err)
		}
	}()
	resync := time.NewTimer(v.cfg.Resync)
	defer resync.Stop()
	all := make(map[string]*publicKey) // nil once they are in
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-resync.C:
			if all != nil {
				return fmt.Errorf("watch bucket %s: %w", Bucket, context.DeadlineExceeded)
			}
			return nil
		case entry, ok := <-watch.Updates():
			switch {
			case !ok:
				return fmt.Errorf("watch bucket %s: %w", Bucket, errWatchEnded)
			case entry == nil: // that was all
				v.keys.replace(all)
				all = nil
				loaded()
			case all != nil:
				all[entry.Key()] = v.read(ctx, entry)
			default:
				v.keys.put(entry.Key(), v.read(ctx, entry))
			}
		}
	}
}

// read returns the key of an entry; nil for none.
func (v *Verifier) read(ctx context.Context, entry jetstream.KeyValueEntry) *publicKey {
	if entry.Operation() != jetstream.KeyValuePut {
		return nil
	}
	k, err := decodeKey(entry.Key(), entry.Value())
	if err != nil {
		v.cfg.Log.WarnContext(ctx, "public key is malformed", "error", err)
		return nil
	}
	return k
}
