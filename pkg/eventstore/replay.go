package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"sluice/pkg/event"
)

const (
	replayBatch      = 500
	replayBytes      = 8 << 20 // on their way to a replay
	replayHeartbeat  = time.Second
	replayInactivity = 30 * time.Second // after which the server forgets an abandoned one
	replayGoodbye    = time.Second
	// replayRare is when reading only the types asked for is worth it: what such a
	// reader finds it must check against its aggregate's other events, which costs
	// about as much as reading so many.
	replayRare = 32
)

// errReplay says that a consumer can't go on: another one has to, after the last
// message.
var errReplay = errors.New("the replay was interrupted")

// Replay says which events to read of all aggregates. The zero value means all.
type Replay struct {
	Types []string  // "order.created"; none means every type of the registry
	Since time.Time // when the stream stored them, which for an import is not when they happened
	After uint64    // only what lies after this stream sequence, to go on where another replay ended
	// HeadersOnly leaves the data out: Recorded.Data is nil and Event.Data empty. The
	// data is not checked then, so a message that only its data gives away as foreign
	// is not told apart.
	HeadersOnly bool
}

// OfType returns all events of some types, as [Store.Replay] does.
func (s *Store) OfType(ctx context.Context, types ...string) iter.Seq2[Recorded, error] {
	return s.Replay(ctx, Replay{Types: types})
}

// Since returns all events that were stored at t or later, as [Store.Replay] does.
func (s *Store) Since(ctx context.Context, t time.Time) iter.Seq2[Recorded, error] {
	return s.Replay(ctx, Replay{Since: t})
}

// Replay returns the genuine events of all aggregates that r asks for, oldest first,
// and ends after those that were in the stream when the iteration began. It holds a
// bounded number in memory, and a consumer on the server as long as it lasts. When that
// consumer, its leader or the connection is lost it goes on with another; an error is
// the last pair, and comes when that does not help for five seconds. An event that this program is too old for
// ([event.ErrUnknownType], [event.ErrNewerVersion]) ends it likewise, unless it is of
// no type asked for.
func (s *Store) Replay(ctx context.Context, r Replay) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		if err := s.replay(ctx, r, func(e Recorded) bool { return yield(e, nil) }); err != nil {
			yield(Recorded{}, fmt.Errorf("replay %s: %w", s.stream.Name, err))
		}
	}
}

func (s *Store) replay(ctx context.Context, r Replay, yield func(Recorded) bool) error {
	wanted := make(map[string]bool, len(r.Types))
	for _, name := range r.Types {
		if err := event.CheckType(name); err != nil {
			return err
		}
		wanted[name] = true
	}
	reader, until := s.Reader(), uint64(0)
	for progress := time.Now(); ; {
		reached, err := s.play(ctx, r, &until, func(m message) (bool, error) {
			e, err := s.replayed(ctx, reader, m, r.HeadersOnly)
			switch {
			case errors.Is(err, &ForeignError{}), errors.Is(err, errNoMessage), IsErased(err):
				return true, nil
			case err != nil:
				return false, err
			case len(wanted) > 0 && !wanted[e.Type]:
				return true, nil
			case e.unreadable != nil:
				return false, e.unreadable
			default:
				return yield(e), nil
			}
		})
		if reached > r.After {
			r.After, progress = reached, time.Now()
		}
		if !interrupted(err) || time.Since(progress) > readTimeout {
			return err
		}
		if pause(ctx, retryPause) != nil {
			return context.Cause(ctx)
		}
	}
}

// interrupted reports whether going on after the last message may help.
func interrupted(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 503
	}
	return errors.Is(err, errReplay)
}

// play takes messages from one consumer until take says that it is enough, and
// returns how far it got. until is the end, and is set when it is not known yet.
func (s *Store) play(ctx context.Context, r Replay, until *uint64, take func(message) (bool, error)) (reached uint64, err error) {
	p, err := s.openPlayer(ctx, r)
	if err != nil {
		return 0, err
	}
	defer p.close(ctx)
	if *until == 0 {
		*until = p.last
	}
	p.last = *until
	for {
		m, err := p.next(ctx)
		if err != nil || m.sequence == 0 {
			return reached, err
		}
		more, err := take(m)
		if err != nil || !more {
			return reached, err
		}
		reached = m.sequence
	}
}

// replayed reads m as a genuine event.
func (s *Store) replayed(ctx context.Context, reader *Reader, m message, headersOnly bool) (e Recorded, err error) {
	if headersOnly {
		e, err = s.recordHeader(ctx, m)
	} else {
		e, err = s.record(m)
	}
	if err != nil {
		return Recorded{}, err
	}
	return e, reader.place(ctx, e)
}

// recordHeader is record for a message that came without its data. A structured
// CloudEvent, as no store writes it, has nothing in its headers and is read whole.
func (s *Store) recordHeader(ctx context.Context, m message) (Recorded, error) {
	m.data = nil
	if _, err := event.Decode(m.header, nil); err != nil {
		if m, err = s.getFromLeader(ctx, getRequest{Sequence: m.sequence}); err != nil {
			return Recorded{}, err
		}
	}
	e, err := s.envelope(m)
	if err != nil {
		return Recorded{}, err
	}
	e.Data = nil
	_, err = s.events.Decode(e)
	switch {
	case errors.Is(err, event.ErrData), errors.Is(err, event.ErrUpcast): // for want of data
		err = nil
	case err != nil && !event.Unreadable(err):
		return Recorded{}, &ForeignError{Reason: err.Error()}
	}
	return s.recorded(m, e, nil, err), nil
}

// player reads what lies in a stream through a consumer of its own. It is here, and
// not nats.go's Messages, because that takes an empty message with a Status header for
// word from the server, so that an outsider's message could end or hang a replay. What
// JetStream delivers has an acknowledgement subject as its reply; word from the server
// has none.
type player struct {
	store     *Store
	consumer  jetstream.Consumer
	inbox     string
	sub       *nats.Subscription
	messages  chan *nats.Msg
	last      uint64 // of the stream when it began
	delivered uint64
	request   int // number of the current request: word about those before it does not count
	expected  int // messages that it still asks for
	ended     bool
}

// openPlayer returns a player of what r asks for, and perhaps more.
func (s *Store) openPlayer(ctx context.Context, r Replay) (*player, error) {
	stream, err := s.js.Stream(ctx, s.stream.Name)
	if err != nil {
		return nil, err
	}
	state := stream.CachedInfo().State
	config := jetstream.ConsumerConfig{
		Name:           "replay_" + nuid.Next(),
		AckPolicy:      jetstream.AckNonePolicy,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		FilterSubjects: []string{s.stream.History()},
		HeadersOnly:    r.HeadersOnly,
		MemoryStorage:  true, Replicas: 1,
		InactiveThreshold: replayInactivity,
	}
	if !r.Since.IsZero() {
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.Since
	}
	if r.After > 0 {
		config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverByStartSequencePolicy, r.After+1, nil
	}
	var consumer jetstream.Consumer
	if len(r.Types) > 0 {
		filtered := config
		filtered.FilterSubjects = nil
		for _, name := range r.Types {
			filtered.FilterSubjects = append(filtered.FilterSubjects, name+".*")
		}
		if consumer, err = stream.CreateConsumer(ctx, filtered); err != nil {
			return nil, err
		}
		if consumer.CachedInfo().NumPending*replayRare > state.Msgs {
			if err := stream.DeleteConsumer(ctx, filtered.Name); err != nil {
				return nil, err
			}
			consumer = nil
		}
	}
	if consumer == nil {
		if consumer, err = stream.CreateConsumer(ctx, config); err != nil {
			return nil, err
		}
	}
	p := &player{
		store: s, consumer: consumer, last: state.LastSeq, ended: consumer.CachedInfo().NumPending == 0,
		inbox: s.js.Conn().NewInbox(), messages: make(chan *nats.Msg, 2*replayBatch),
	}
	// A channel, since NextMsg too would take a message with a status for an error.
	if p.sub, err = s.js.Conn().ChanSubscribe(p.inbox+".*", p.messages); err != nil {
		return nil, errors.Join(err, stream.DeleteConsumer(ctx, config.Name))
	}
	return p, nil
}

// close frees the consumer. Where that fails the server forgets it by itself.
func (p *player) close(ctx context.Context) {
	_ = p.sub.Unsubscribe() // fails only on a closed connection
	if !p.store.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replayGoodbye)
	defer cancel()
	_ = p.store.js.DeleteConsumer(ctx, p.store.stream.Name, p.consumer.CachedInfo().Name)
}

// next returns the next message, or one with sequence 0 at the end.
func (p *player) next(ctx context.Context) (message, error) {
	for !p.ended {
		if ctx.Err() != nil { // also while there are messages
			return message{}, context.Cause(ctx)
		}
		if p.expected == 0 {
			if err := p.ask(); err != nil {
				return message{}, err
			}
		}
		msg, err := p.receive(ctx)
		if err != nil {
			return message{}, err
		}
		if !strings.HasPrefix(msg.Reply, "$JS.ACK.") {
			if err := p.hear(ctx, msg); err != nil {
				return message{}, err
			}
			continue
		}
		meta, err := msg.Metadata()
		if err != nil {
			return message{}, err
		}
		p.delivered++
		p.expected = max(p.expected-1, 0)
		if meta.Sequence.Consumer != p.delivered {
			return message{}, fmt.Errorf("%w: messages were lost on the way", errReplay)
		}
		p.ended = meta.NumPending == 0 || meta.Sequence.Stream >= p.last
		if meta.Sequence.Stream <= p.last {
			return message{subject: msg.Subject, sequence: meta.Sequence.Stream, header: msg.Header, data: msg.Data}, nil
		}
	}
	return message{}, nil
}

// receive waits for a message or word from the server. While there are messages, or
// heartbeats, it is never silent for long.
func (p *player) receive(ctx context.Context) (*nats.Msg, error) {
	patience := time.NewTimer(5 * replayHeartbeat)
	defer patience.Stop()
	select {
	case msg := <-p.messages:
		return msg, nil
	case <-patience.C:
		return nil, fmt.Errorf("%w: the server is silent", errReplay)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *player) ask() error {
	body, err := json.Marshal(struct {
		Expires   int64 `json:"expires"`
		Batch     int   `json:"batch"`
		MaxBytes  int   `json:"max_bytes"`
		Heartbeat int64 `json:"idle_heartbeat"`
	}{Expires: replayInactivity.Nanoseconds(), Batch: replayBatch, MaxBytes: replayBytes, Heartbeat: replayHeartbeat.Nanoseconds()})
	if err != nil {
		return err
	}
	p.request, p.expected = p.request+1, replayBatch
	subject := p.store.api + "CONSUMER.MSG.NEXT." + p.store.stream.Name + "." + p.consumer.CachedInfo().Name
	return p.store.js.Conn().PublishRequest(subject, p.reply(), body)
}

// reply is where word about the current request comes to.
func (p *player) reply() string { return p.inbox + "." + strconv.Itoa(p.request) }

// hear takes word from the server.
func (p *player) hear(ctx context.Context, msg *nats.Msg) error {
	if msg.Subject != p.reply() {
		return nil
	}
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100":
		// Silence: what was still to come may have been deleted meanwhile.
		info, err := p.consumer.Info(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", errReplay, err)
		}
		p.ended = info.NumPending == 0 && info.Delivered.Consumer == p.delivered
		return nil
	case status == "408", status == "409" && (strings.EqualFold(description, "Batch Completed") || strings.EqualFold(description, "Message Size Exceeds MaxBytes")):
		p.expected = 0 // this request is over
		return nil
	default:
		return fmt.Errorf("%w: the consumer says %s %s", errReplay, status, description)
	}
}
