package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
)

// Option adjusts a model that [KV] declares.
type Option func(*home)

// Version says which version of the fold this program has; 1 without it. A new one
// is due when the fold makes something else of the same events. Version 2 of the
// model orders lies in the bucket orders-v2, which the first process that follows it
// creates like the bucket orders; a program reads and writes its own version only.
// So old and new programs serve side by side, and [Runner.Start] of version 2 and up
// returns when the model is up to date. What an older version left behind is for the
// operator to delete once no program of that version runs.
func Version(n int) Option { return func(h *home) { h.version = n } }

// home is the bucket that a model is named after. It holds the model's first version,
// and says for each version in which bucket it is now.
type home struct {
	bucket
	name    string
	version int
}

// generations says where one version of a model is, and where it is being built anew.
// It is kept in the home bucket at generation.<version>. The first generation is 0.
type generations struct {
	Serving  int       `json:"serving"`
	Building int       `json:"building,omitzero"` // 0 when none is
	Retired  []retired `json:"retired,omitempty"` // not deleted yet

	revision uint64
}

type retired struct {
	Generation int       `json:"generation"`
	Since      time.Time `json:"since"`
}

// ErrRebuilding says that the model is being rebuilt already.
var ErrRebuilding = errors.New("the read model is being rebuilt")

// errSwitched ends a session on a bucket that the model has left.
var errSwitched = errors.New("the read model is in another bucket now")

const generationToken = "generation"

func (h home) key() string { return generationToken + "." + strconv.Itoa(h.version) }

// place returns the bucket's name of one generation.
func (h home) place(generation int) string {
	name := h.name
	if h.version > 1 {
		name += "-v" + strconv.Itoa(h.version)
	}
	if generation > 0 {
		name += "-g" + strconv.Itoa(generation)
	}
	return name
}

func (h home) at(generation int) bucket { return newBucket(h.js, h.place(generation)) }

// look reads the generations from the bucket's leader.
func (h home) look(ctx context.Context) (generations, error) {
	m, err := h.read(ctx, h.key(), leader)
	if err != nil {
		return generations{}, err
	}
	g := generations{revision: m.sequence}
	if !m.live {
		return g, nil
	}
	if err := json.Unmarshal(m.value, &g); err != nil {
		return g, fmt.Errorf("generations of read model %s: %w", h.name, err)
	}
	return g, nil
}

// change stores g where it was looked up; somebody else's change in between is a
// [jetstream.JetStreamError].
func (h home) change(ctx context.Context, g generations) error {
	body, err := json.Marshal(g, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = h.js.PublishMsg(ctx, &nats.Msg{Subject: h.prefix + h.key(), Header: expect(make(nats.Header, 1), g.revision), Data: body})
	if err != nil {
		return fmt.Errorf("change where read model %s is: %w", h.name, err)
	}
	return nil
}

// create makes the bucket of a generation like the home bucket, unless it is there.
func (h home) create(ctx context.Context, generation int) error {
	like, err := h.js.Stream(ctx, h.bucket.name)
	if err != nil {
		return fmt.Errorf("look at bucket %s: %w", h.name, err)
	}
	b := h.at(generation)
	if _, err := h.js.Stream(ctx, b.name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	config := like.CachedInfo().Config
	config.Name, config.Subjects = b.name, []string{b.prefix + ">"}
	config.Metadata = nil
	if _, err := h.js.CreateStream(ctx, config); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("create bucket %s: %w", h.place(generation), err)
	}
	return nil
}

// request asks for another generation.
func (h home) request(ctx context.Context) error {
	g, err := h.look(ctx)
	if err != nil {
		return err
	}
	if g.Building > 0 {
		return ErrRebuilding
	}
	g.Building = g.Serving + 1
	return h.change(ctx, g)
}

// flip makes the generation that was built the one that serves.
func (h home) flip(ctx context.Context, built int) error {
	g, err := h.look(ctx)
	if err != nil || g.Building != built {
		return err
	}
	g.Retired = append(g.Retired, retired{Generation: g.Serving, Since: time.Now().UTC()})
	g.Serving, g.Building = built, 0
	return h.change(ctx, g)
}

// retire deletes what was left behind longer ago than grace.
func (h home) retire(ctx context.Context, g generations, grace time.Duration, history string) error {
	i := slices.IndexFunc(g.Retired, func(r retired) bool { return time.Since(r.Since) > grace })
	if i < 0 {
		return nil
	}
	old := h.at(g.Retired[i].Generation)
	var err error
	if old.name == h.bucket.name {
		err = h.empty(ctx, history)
	} else if err = h.js.DeleteStream(ctx, old.name); errors.Is(err, jetstream.ErrStreamNotFound) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("delete the old generation of read model %s: %w", h.name, err)
	}
	g.Retired = slices.Delete(slices.Clone(g.Retired), i, i+1)
	return h.change(ctx, g)
}

// empty removes all values from the home bucket. First it takes the checkpoint away
// from whoever may still write there.
func (h home) empty(ctx context.Context, history string) error {
	body, err := json.Marshal(checkpoint{Stream: "retired"})
	if err != nil {
		return err
	}
	if _, err := h.js.PublishMsg(ctx, &nats.Msg{Subject: h.prefix + checkpointKey(history), Data: body}); err != nil {
		return err
	}
	s, err := h.js.Stream(ctx, h.bucket.name)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(h.prefix+">"))
	if err != nil {
		return err
	}
	erasing := !info.Config.DenyDelete
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, h.prefix)
		first, _, _ := strings.Cut(key, ".")
		if first == generationToken || first == "checkpoint" {
			continue
		}
		if !erasing {
			if err := s.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return err
			}
			continue
		}
		if err := h.overwriteAll(ctx, subject); err != nil {
			return err
		}
	}
	return nil
}

// overwriteAll erases all messages of a subject.
func (h home) overwriteAll(ctx context.Context, subject string) error {
	for {
		m, err := h.last(ctx, subject, leader)
		if err != nil || m.sequence == 0 {
			return err
		}
		if err := eventstore.Overwrite(ctx, h.js, h.bucket.name, m.sequence); err != nil {
			return err
		}
	}
}
