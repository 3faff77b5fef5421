package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotPermitted says that the credentials may not create or change what is
// missing on the server; the error that wraps it lists that.
var ErrNotPermitted = errors.New("these credentials may not set up streams")

// A Refusal is one setting that differs on the server and that [Reconcile] does not
// touch, because the change could lose messages or a consumer's position.
type Refusal struct {
	Stream, Consumer string // Consumer is empty when the setting is the stream's
	Setting          string // its name in JSON
	Is, Wanted       string // JSON values; "unset" when absent
}

// RefusedError lists all refusals. Nothing was changed.
type RefusedError struct{ Refusals []Refusal }

// Error names for every refusal the stream, the setting, what it is and what is wanted.
func (e *RefusedError) Error() string {
	var b strings.Builder
	b.WriteString("the server's streams differ in ways that are not changed by themselves: ")
	for i, r := range e.Refusals {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString("stream " + r.Stream)
		if r.Consumer != "" {
			b.WriteString(", consumer " + r.Consumer)
		}
		fmt.Fprintf(&b, ": %s is %s, wanted %s", r.Setting, r.Is, r.Wanted)
	}
	return b.String()
}

// Reconcile loads the owners' files and sees to it that the server has what they say,
// with at least so many replicas of each stream: see [Set.Reconcile].
func Reconcile(ctx context.Context, js jetstream.JetStream, log *slog.Logger, replicas int, owners ...string) error {
	set, err := Load(owners...)
	if err != nil {
		return err
	}
	return set.Replicated(replicas).Reconcile(ctx, js, log)
}

// Replicated returns the set with so many replicas of each stream, and with that of its
// consumers; the files say 1, and more need a cluster. A stream that has more keeps them.
func (s Set) Replicated(replicas int) Set {
	more := func(configs []jetstream.StreamConfig) []jetstream.StreamConfig {
		configs = slices.Clone(configs)
		for i := range configs {
			configs[i].Replicas = max(configs[i].Replicas, replicas)
		}
		return configs
	}
	return Set{Streams: more(s.Streams), Foreign: more(s.Foreign), Consumers: s.Consumers}
}

// raceAttempts bounds how often Reconcile looks again when another process has
// created something in between.
const raceAttempts = 5

// Reconcile creates what is absent and applies the changes that cannot lose
// anything: more subjects, larger limits, direct get, atomic batches switched on,
// republishing, replicas, descriptions, metadata; for consumers acknowledgement
// wait, pending limit and filters. Any other difference is a [*RefusedError], found
// before the first change is made. What an operator has added (replicas, placement,
// metadata, a pause) stays. Nothing is ever deleted.
//
// Several processes may do this at once. With credentials that may not create, an
// intact server is enough; otherwise the error wraps [ErrNotPermitted]. A cluster that
// says that it cannot now, as without a leader or while a stream gets its replicas, is
// asked again until ctx ends.
func (s Set) Reconcile(ctx context.Context, js jetstream.JetStream, log *slog.Logger) error {
	for raced := 0; ; {
		err := s.reconcile(ctx, js, log)
		switch {
		case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse), errors.Is(err, jetstream.ErrConsumerExists):
			if raced++; raced == raceAttempts {
				return fmt.Errorf("others keep changing the same streams: %w", err)
			}
		case unavailable(err):
			log.InfoContext(ctx, "NATS cannot set up streams yet", "error", err)
			select {
			case <-time.After(unavailablePause):
			case <-ctx.Done():
				return err
			}
		default:
			return err
		}
	}
}

func (s Set) reconcile(ctx context.Context, js jetstream.JetStream, log *slog.Logger) error {
	p, err := s.plan(ctx, js)
	if err != nil {
		return err
	}
	if len(p.refusals) > 0 {
		return &RefusedError{Refusals: p.refusals}
	}
	return p.apply(ctx, js, log)
}

// unavailablePause is how long a cluster is left alone that cannot do something now.
const unavailablePause = 500 * time.Millisecond

// unavailable tells whether the server says that it may be able to do it later.
func unavailable(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == 503 && !errors.Is(err, jetstream.ErrJetStreamNotEnabled) && !errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// plan is what is to be done, in this order.
type plan struct {
	steps    []step
	refusals []Refusal
}

type step struct {
	stream, consumer string
	missing          bool // does not exist yet
	changes          []change
	do               func(ctx context.Context, js jetstream.JetStream) error
}

func (s Set) plan(ctx context.Context, js jetstream.JetStream) (plan, error) {
	var p plan
	for _, want := range s.Streams {
		is, err := streamConfig(ctx, js, want.Name)
		if err == nil {
			err = p.stream(is, want)
		}
		if err != nil {
			return plan{}, err
		}
	}
	for _, want := range s.Foreign {
		is, err := streamConfig(ctx, js, want.Name)
		if err != nil {
			return plan{}, err
		}
		if is == nil {
			p.createStream(want)
		}
	}
	for _, want := range s.Consumers {
		is, err := consumerConfig(ctx, js, want)
		if err == nil {
			err = p.consumer(want.Stream, is, want.Config)
		}
		if err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

func (p *plan) stream(is *jetstream.StreamConfig, want jetstream.StreamConfig) error {
	if is == nil {
		p.createStream(want)
		return nil
	}
	var next jetstream.StreamConfig
	changes, err := p.compare(step{stream: want.Name}, *is, want, &next, streamRules)
	if err != nil || len(changes) == 0 {
		return err
	}
	p.steps = append(p.steps, step{stream: want.Name, changes: changes, do: func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.UpdateStream(ctx, next)
		return err
	}})
	return nil
}

func (p *plan) createStream(want jetstream.StreamConfig) {
	p.steps = append(p.steps, step{stream: want.Name, missing: true, do: func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, want)
		return err
	}})
}

func (p *plan) consumer(stream string, is *jetstream.ConsumerConfig, want jetstream.ConsumerConfig) error {
	if is == nil {
		p.steps = append(p.steps, step{stream: stream, consumer: want.Durable, missing: true, do: func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateConsumer(ctx, stream, want)
			return err
		}})
		return nil
	}
	var next jetstream.ConsumerConfig
	at := step{stream: stream, consumer: want.Durable}
	changes, err := p.compare(at, oneFilterForm(*is), oneFilterForm(want), &next, consumerRules)
	if err != nil || len(changes) == 0 {
		return err
	}
	next = shortFilterForm(next)
	at.changes = changes
	at.do = func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.UpdateConsumer(ctx, stream, next)
		return err
	}
	p.steps = append(p.steps, at)
	return nil
}

// compare fills next with what the server shall have and records what is refused.
func (p *plan) compare(at step, is, want, next any, rules map[string]rule) ([]change, error) {
	have, err := settingsOf(is)
	if err != nil {
		return nil, err
	}
	wanted, err := settingsOf(want)
	if err != nil {
		return nil, err
	}
	changes, refused := compare(have, wanted, rules)
	for _, c := range refused {
		p.refusals = append(p.refusals, Refusal{
			Stream: at.stream, Consumer: at.consumer, Setting: c.setting, Is: orUnset(c.from), Wanted: orUnset(c.to),
		})
	}
	return changes, have.apply(changes, next)
}

func orUnset(v jsontext.Value) string { return cmp.Or(string(v), "unset") }

func (p *plan) apply(ctx context.Context, js jetstream.JetStream, log *slog.Logger) error {
	for i, s := range p.steps {
		if err := s.do(ctx, js); err != nil {
			if denied(js, err) {
				return fmt.Errorf("%w: %s: %w", ErrNotPermitted, outstanding(p.steps[i:]), err)
			}
			return fmt.Errorf("set up %s: %w", s.name(), err)
		}
		if s.missing {
			log.DebugContext(ctx, "created", "stream", s.stream, "consumer", s.consumer)
		}
		for _, c := range s.changes {
			log.InfoContext(ctx, "changed", "stream", s.stream, "consumer", s.consumer,
				"setting", c.setting, "from", orUnset(c.from), "to", orUnset(c.to))
		}
	}
	return nil
}

// denied tells a refused request from an unanswered one: NATS answers neither, but
// reports the first on the connection.
func denied(js jetstream.JetStream, err error) bool {
	unanswered := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
	return unanswered && errors.Is(js.Conn().LastError(), nats.ErrPermissionViolation)
}

func outstanding(steps []step) string {
	what := make([]string, len(steps))
	for i, s := range steps {
		what[i] = s.name() + " is missing"
		if !s.missing {
			what[i] = s.name() + " is out of date"
		}
	}
	return strings.Join(what, ", ")
}

func (s step) name() string {
	if s.consumer != "" {
		return "consumer " + s.consumer + " of stream " + s.stream
	}
	return "stream " + s.stream
}

// streamConfig returns what the server has, nil when there is no such stream.
func streamConfig(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamConfig, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return &stream.CachedInfo().Config, nil
}

func consumerConfig(ctx context.Context, js jetstream.JetStream, c Consumer) (*jetstream.ConsumerConfig, error) {
	consumer, err := js.Consumer(ctx, c.Stream, c.Config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at consumer %s of stream %s: %w", c.Config.Durable, c.Stream, err)
	}
	return &consumer.CachedInfo().Config, nil
}
