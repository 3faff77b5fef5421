package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Rebuild is a generation of a model that is being built beside the one that serves.
type Rebuild struct {
	Position uint64        // the last sequence that is folded
	Lag      Lag           // how far it is behind
	Pace     float64       // events a second
	Left     time.Duration // until it serves, at that pace; 0 when that is not known
	Reason   string        // why it stands still, if it does
}

// Rebuild asks for a new generation of the model, folded from the beginning of the
// stream into a bucket of its own while the present one goes on serving. When it is up
// to date every process changes over to it; the old one is deleted after
// [Config.Grace]. Any runner of the model may build it, and another takes over when
// one dies. It returns at once, and fails with [ErrRebuilding] when that is going on.
//
// A model made by [SQL] has one place: its tables are dropped and made anew, and
// [Tables.Await] waits meanwhile. Each file of a model has to be rebuilt by the process
// that has it open. A model in memory is built anew when its process starts, and only
// then: errors.ErrUnsupported.
func (r *Runner) Rebuild(ctx context.Context) error {
	if m, ok := r.model.(*sqlModel); ok {
		if err := m.drop(ctx); err != nil {
			return fmt.Errorf("rebuild read model %s: %w", r.name, err)
		}
		r.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "rebuilding the read model", r.attrs(nil)...)
		r.replace(m)
		return nil
	}
	if r.rebuilder == nil {
		return fmt.Errorf("read model %s: %w", r.name, errors.ErrUnsupported)
	}
	if err := r.rebuilder.home.request(ctx); err != nil {
		return fmt.Errorf("rebuild read model %s: %w", r.name, err)
	}
	return nil
}

// rebuilder keeps a runner on the generation that serves, and builds the next.
type rebuilder struct {
	runner  *Runner
	home    home
	model   keyValue // of generation 0: what the models of all are made from
	serving *serving

	number int // of the generation that the runner is on

	mu       sync.Mutex
	builder  *Runner
	building int
	backward bool // the stream ends before what was reached, as after a restored backup
}

func (b *rebuilder) of(number int) *keyValue {
	m := b.model
	m.number, m.bucket = number, b.home.at(number)
	return &m
}

// begin puts the runner on the generation that serves when it starts.
func (b *rebuilder) begin(ctx context.Context) error {
	g, err := b.home.look(ctx)
	if err != nil {
		return err
	}
	b.number = g.Serving
	m := b.of(g.Serving)
	b.runner.model = m
	b.serving.set(m.bucket)
	return nil
}

// run looks every [Config.StandBy] whether there is something to do.
func (b *rebuilder) run(ctx context.Context) {
	ticker := time.NewTicker(b.runner.cfg.StandBy)
	defer ticker.Stop()
	defer b.stop(ctx)
	troubled := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := b.step(ctx)
		var changed jetstream.JetStreamError
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			troubled = ""
		case errors.As(err, &changed) && changed.APIError().ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
			// Another process was faster.
		case err.Error() != troubled:
			troubled = err.Error()
			b.runner.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "looking after the generations of the read model fails", b.runner.attrs(err)...)
		}
	}
}

func (b *rebuilder) step(ctx context.Context) error {
	g, err := b.home.look(ctx)
	if err != nil {
		return err
	}
	if b.building > 0 && g.Building != b.building {
		b.stop(ctx)
	}
	if g.Serving != b.number {
		if err := b.change(ctx, g.Serving); err != nil {
			return err
		}
	}
	if b.runner.cfg.ReadOnly {
		return nil
	}
	if g.Building > 0 {
		return b.build(ctx, g.Building)
	}
	return b.home.retire(ctx, g, b.runner.cfg.Grace, b.runner.history.name)
}

// build starts the builder, or makes what it has built serve when it is up to date.
func (b *rebuilder) build(ctx context.Context, number int) error {
	if b.builder == nil {
		m := b.of(number)
		cfg := b.runner.cfg
		r := newRunner(b.home.place(number), m, b.runner.store, newProgress(), cfg)
		m.moved, m.reached = func() { r.steps.Add(1) }, r.advance
		if err := r.Start(ctx); err != nil {
			return err
		}
		b.mu.Lock()
		b.builder, b.building = r, number
		b.mu.Unlock()
		cfg.Log.LogAttrs(ctx, slog.LevelInfo, "rebuilding the read model", append(b.runner.attrs(nil), slog.String("bucket", r.name))...)
	}
	end, err := b.runner.history.last(ctx, ">", leader)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, b.runner.cfg.StandBy)
	defer cancel()
	if b.builder.progress.wait(wait, b.runner.history.name, end.sequence) != nil {
		return nil // not yet, or it stands still
	}
	if err := b.home.flip(ctx, number); err != nil {
		return err
	}
	b.runner.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "the rebuilt read model serves", append(b.runner.attrs(nil),
		slog.String("bucket", b.home.place(number)), slog.Uint64("sequence", end.sequence))...)
	b.stop(ctx)
	return b.change(ctx, number)
}

// change puts the runner on another generation. Readers follow once that one has
// everything which they may have seen.
func (b *rebuilder) change(ctx context.Context, number int) error {
	reached, _, _ := b.runner.progress.now()
	end, err := b.runner.history.last(ctx, ">", leader)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.backward = end.sequence < reached
	b.mu.Unlock()
	b.number = number
	b.runner.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "changing over to another generation of the read model",
		append(b.runner.attrs(nil), slog.String("bucket", b.home.place(number)))...)
	b.runner.replace(b.of(number))
	return nil
}

// serve reports whether readers may be told of a position that the model m has
// reached, and lets them read it when it has come far enough.
func (b *rebuilder) serve(m *keyValue, sequence uint64) bool {
	if b.serving.is(m.bucket) {
		return true
	}
	// The session on the generation before has ended, so this is all that was promised.
	reached, _, _ := b.runner.progress.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if sequence < reached && !b.backward {
		return false
	}
	b.serving.set(m.bucket)
	return true
}

// stop ends building in this process.
func (b *rebuilder) stop(ctx context.Context) {
	b.mu.Lock()
	builder := b.builder
	b.builder, b.building = nil, 0
	b.mu.Unlock()
	if builder == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if err := builder.Stop(ctx); err != nil {
		b.runner.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the rebuild does not stop", b.runner.attrs(err)...)
	}
}

// status returns how far the rebuild is; nil when this process knows of none.
func (b *rebuilder) status(ctx context.Context) (*Rebuild, error) {
	b.mu.Lock()
	builder := b.builder
	b.mu.Unlock()
	if builder == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	s, err := builder.Status(ctx)
	return &Rebuild{Position: s.Position, Lag: s.Lag, Pace: s.Pace, Left: s.Left, Reason: s.Reason}, err
}
