package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/timeline"
)

// ErrPosition says that a group's position is not one of the stream: the stream was
// created anew, or restored to a point before the position. Nothing is handled until an
// operator has decided where to go on: see [Consumer.Start].
var ErrPosition = errors.New("the group's position is not of this stream")

// position is how far a group is, as recorded in [StateBucket] for the case that the
// consumer, which knows it better, gets lost.
type position struct {
	Stream   time.Time `json:"stream"`   // when the stream's timeline began
	Consumer time.Time `json:"consumer"` // when the consumer was created
	Floor    uint64    `json:"floor"`    // every message up to here is settled

	// Deliveries is how many the consumer has made. A reset begins anew; a floor that
	// goes back without that, as after the restart of a server, is of no interest.
	Deliveries uint64 `json:"deliveries"`
}

func positionOf(now timeline.Timeline, info *jetstream.ConsumerInfo) position {
	return position{
		Stream: now.Began, Consumer: info.Created, Floor: info.AckFloor.Stream, Deliveries: info.Delivered.Consumer,
	}
}

// recreateAfter is how many times a process looks for a consumer that is gone before
// it creates it, when another process may know better how far the group is.
const recreateAfter = 4

// locate finds the consumer's place in the stream. A consumer that was removed, or
// made anew somewhere else, is put where the group was; what cannot be right is
// [ErrPosition].
func (c *Consumer) locate(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	known, err := c.knownPosition(ctx) // first: what is looked at later is not behind it
	if err != nil {
		return nil, err
	}
	stream, err := c.js.Stream(ctx, c.group.Stream)
	if err != nil {
		return nil, fmt.Errorf("look at the stream: %w", err)
	}
	now, err := timeline.Of(stream.CachedInfo())
	if err != nil {
		return nil, fmt.Errorf("look at the stream: %w", err)
	}
	wrong := c.judge(known, stream.CachedInfo(), now)
	if c.group.Stream == DeadLetterStream && wrong != nil {
		known, wrong = position{}, nil // a redrive that is lost with its letter is no loss
	}
	info, err := c.source.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && wrong == nil {
		info, err = c.recreate(ctx, known)
	}
	if err != nil {
		return nil, fmt.Errorf("look at the consumer: %w", err)
	}
	if err := c.check(info.Config); err != nil {
		return nil, err
	}
	if wrong != nil {
		return info, fmt.Errorf("%w; delete %s from bucket %s to begin where the consumer stands", wrong, c.positionKey(), StateBucket)
	}
	if err := c.ownPosition().of(stream.CachedInfo(), now); err != nil {
		return info, err // what this process knows beyond the record is of another past
	}
	if info, err = c.bringBack(ctx, known, info); err != nil {
		return nil, err
	}
	c.lookForGone(ctx, known, stream.CachedInfo())
	c.note(info)
	return info, c.savePosition(ctx, positionOf(now, info))
}

// judge returns nil when the record can be right. One that lay beyond the stream's end
// stays wrong when the stream grows: what it has there then is not what was handled.
func (c *Consumer) judge(known position, stream *jetstream.StreamInfo, now timeline.Timeline) error {
	err := known.of(stream, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.astray = known
	case known == c.astray && known.Stream.Equal(now.Began):
		err = fmt.Errorf("%w: it is %d, and %s ended before that", ErrPosition, known.Floor, stream.Config.Name)
	default:
		c.astray = position{}
	}
	return err
}

// ownPosition returns how far the group is, as far as this process knows.
func (c *Consumer) ownPosition() position {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.position.Stream.IsZero() {
		return position{}
	}
	return position{Stream: c.position.Stream, Floor: c.floor()}
}

// of returns nil when p can be a position in the stream, which is in the timeline now.
func (p position) of(stream *jetstream.StreamInfo, now timeline.Timeline) error {
	switch {
	case p.Stream.IsZero():
		return nil
	case !now.Holds(p.Stream, p.Floor):
		return fmt.Errorf("%w: %d in %s as it began %s, and that was made anew, or restored to before that, and began %s", ErrPosition, p.Floor,
			stream.Config.Name, p.Stream.UTC().Format(time.RFC3339Nano), now.Began.Format(time.RFC3339Nano))
	case p.Floor > stream.State.LastSeq:
		return fmt.Errorf("%w: it is %d, and %s ends at %d", ErrPosition, p.Floor, stream.Config.Name, stream.State.LastSeq)
	}
	return nil
}

// knownPosition returns what is recorded.
func (c *Consumer) knownPosition(ctx context.Context) (position, error) {
	var p position
	entry, err := c.state.Get(ctx, c.positionKey())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return position{}, nil // never recorded, or taken back by an operator
	}
	if err == nil {
		err = json.Unmarshal(entry.Value(), &p)
	}
	if err != nil {
		return position{}, fmt.Errorf("read the group's position: %w", err)
	}
	return p, nil
}

// floor returns up to where all messages are settled, as far as this process knows.
// The caller holds mu.
func (c *Consumer) floor() uint64 {
	if c.gate.shut || c.group.Order == Any {
		return c.position.Floor
	}
	floor := c.latest
	for sequence := range c.held {
		floor = min(floor, sequence-1)
	}
	return max(floor, c.position.Floor)
}

// recreate makes a consumer again that was removed. A process that was only standing
// by lets others do it first.
func (c *Consumer) recreate(ctx context.Context, known position) (*jetstream.ConsumerInfo, error) {
	c.mu.Lock()
	c.missed++
	late := c.latest < known.Floor && c.missed < recreateAfter
	cfg := c.declared
	c.mu.Unlock()
	if late || cfg.Durable == "" {
		return nil, jetstream.ErrConsumerNotFound
	}
	if _, err := c.js.CreateConsumer(ctx, c.group.Stream, cfg); err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
		return nil, fmt.Errorf("create it again: %w", err)
	}
	c.cfg.Log.WarnContext(ctx, "consumer was removed and is created again", "group", c.group.Name, "stream", c.group.Stream)
	return c.source.Info(ctx)
}

// bringBack moves a consumer that was made anew to where the group was. One that was
// moved back as it is was reset by an operator, who wants messages handled again.
func (c *Consumer) bringBack(ctx context.Context, known position, info *jetstream.ConsumerInfo) (*jetstream.ConsumerInfo, error) {
	anew := !known.Consumer.Equal(info.Created)
	c.mu.Lock()
	c.missed, c.declared = 0, info.Config
	if anew && c.position.Stream.Equal(known.Stream) {
		known.Floor = max(known.Floor, c.floor())
		c.moved = true
	}
	reset := !anew && (known.reset(info) || len(c.limbo) > 0)
	c.mu.Unlock()
	switch {
	case reset:
		c.mu.Lock()
		c.settled.forget()
		c.latest, c.position.Floor, c.moved = info.AckFloor.Stream, info.AckFloor.Stream, true
		c.mu.Unlock()
		c.cfg.Log.WarnContext(ctx, "consumer was reset to an earlier message", "group", c.group.Name, "stream", c.group.Stream,
			"from", known.Floor, "to", info.AckFloor.Stream)
		return info, nil
	case !anew, known.Stream.IsZero(), info.AckFloor.Stream >= known.Floor:
		return info, nil
	}
	if _, err := c.js.ResetConsumerToSequence(ctx, c.group.Stream, c.group.Name, known.Floor+1); err != nil {
		return nil, fmt.Errorf("the consumer was made anew and stands at %d, the group was at %d; move it there: %w",
			info.AckFloor.Stream, known.Floor, err)
	}
	c.cfg.Log.WarnContext(ctx, "consumer was made anew and is moved to where the group was", "group", c.group.Name,
		"stream", c.group.Stream, "from", info.AckFloor.Stream, "to", known.Floor)
	return c.source.Info(ctx)
}

// lookForGone tells, when the consumer starts, which messages were removed before the
// group got to them, from a stream that otherwise keeps what it has.
func (c *Consumer) lookForGone(ctx context.Context, known position, stream *jetstream.StreamInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.started, known.Floor == 0, known.Floor+1 >= stream.State.FirstSeq, stream.Config.Retention != jetstream.LimitsPolicy,
		c.cfg.Erases, c.group.Stream == DeadLetterStream, c.group.Stream == TimerStream:
		return
	}
	c.skipped = fmt.Errorf("the messages from %d to %d were removed from stream %s before they were handled",
		known.Floor+1, stream.State.FirstSeq-1, stream.Config.Name)
	c.cfg.Log.ErrorContext(ctx, "messages were lost to a group", "group", c.group.Name, "stream", c.group.Stream, "error", c.skipped)
}

// savePosition records how far the group is, if that is news.
func (c *Consumer) savePosition(ctx context.Context, p position) error {
	c.mu.Lock()
	old := c.position
	c.mu.Unlock()
	if old == p {
		return nil
	}
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("record the group's position: %w", err)
	}
	if err := put(ctx, c.js, c.positionKey(), value, 0); err != nil {
		return fmt.Errorf("record the group's position: %w", err)
	}
	c.mu.Lock()
	c.position = p
	c.mu.Unlock()
	return nil
}

// keepPosition records how far the group is now.
func (c *Consumer) keepPosition(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := c.source.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at the consumer: %w", err)
	}
	c.note(info)
	c.mu.Lock()
	p := c.position
	c.mu.Unlock()
	if p.Stream.IsZero() || !p.Consumer.Equal(info.Created) || p.reset(info) {
		return errDisplaced
	}
	p.Floor, p.Deliveries = info.AckFloor.Stream, info.Delivered.Consumer
	return c.savePosition(ctx, p)
}

// reset reports whether the consumer was reset to an earlier message.
func (p position) reset(info *jetstream.ConsumerInfo) bool {
	return info.AckFloor.Stream < p.Floor && info.Delivered.Consumer < p.Deliveries
}

// errDisplaced says that the consumer is not where it was left.
var errDisplaced = errors.New("the consumer was made anew or moved")

func (c *Consumer) positionKey() string {
	return "position." + c.group.Stream + "." + c.group.Name
}

// forsake forgets what is in hand of a stream that is no more. What handlers work on
// is forgotten when they end. The caller holds mu.
func (c *Consumer) forsake() {
	for sequence, it := range c.held {
		if it.running {
			continue
		}
		delete(c.held, sequence)
		if l, ok := c.lanes[c.key(it)]; ok {
			l.remove(it)
			if l.phase != busy {
				c.schedule(l)
			}
		}
	}
	c.settled.forget()
	c.latest, c.position, c.moved = 0, position{}, true
}
