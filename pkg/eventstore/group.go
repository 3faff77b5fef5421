package eventstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	groupBytes = 4 << 20            // of one group
	gatherTime = time.Millisecond   // for the writers of the last group to come back
	groupWait  = 2 * publishTimeout // after which a decision is published alone
)

// Option changes what [New] returns.
type Option func(*Store)

// SyncAlways says whether the server syncs every write to disk before it
// acknowledges it (sync_interval: always). Concurrent appends to different
// aggregates then go as one atomic batch, because one sync pays for all of it;
// without it a batch costs more than it saves. A store can't ask the server, so the
// operator says it. What Append promises is the same either way.
func SyncAlways(on bool) Option {
	return func(s *Store) {
		s.group = nil
		if on {
			s.group = &group{send: s.publish, arrived: make(chan struct{}, 1)}
		}
	}
}

// group gathers decisions that arrive while another group is under way. A goroutine
// sends one group after the other and ends when nothing waits; each takes
// publishTimeout at most.
type group struct {
	send    func(ctx context.Context, messages []*nats.Msg) (uint64, error)
	arrived chan struct{}

	mu      sync.Mutex
	waiting []*decision
	sending bool
}

// decision is one append on its way through a group.
type decision struct {
	id       string
	messages []*nats.Msg
	settled  chan settlement
}

// settlement is what became of a decision: the sequence of its last message, or why
// it was not stored with its group.
type settlement struct {
	sequence uint64
	err      error
}

// publish stores the messages of one decision about aggregate id together with what
// else is waiting. The server does not say which member a group was refused for, so
// each is then published alone, by its own caller. The end of ctx abandons this
// decision only.
func (g *group) publish(ctx context.Context, id string, messages []*nats.Msg) (uint64, error) {
	waiting, cancel := context.WithTimeout(ctx, groupWait)
	defer cancel()
	d := &decision{id: id, messages: messages, settled: make(chan settlement, 1)}
	g.add(context.WithoutCancel(ctx), d)
	select {
	case s := <-d.settled:
		switch classify(s.err) {
		case refused, retry, invalid:
			return g.send(ctx, messages)
		case stored, unknown:
		}
		return s.sequence, s.err
	case <-waiting.Done():
		g.withdraw(d)
		return 0, context.Cause(waiting)
	}
}

func (g *group) add(ctx context.Context, d *decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, d)
	if !g.sending {
		g.sending = true
		go g.run(ctx)
		return
	}
	select {
	case g.arrived <- struct{}{}:
	default:
	}
}

// withdraw keeps d from being sent if that has not happened yet.
func (g *group) withdraw(d *decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(other *decision) bool { return other == d })
}

func (g *group) run(ctx context.Context) {
	for {
		decisions := g.take()
		if len(decisions) == 0 {
			return
		}
		g.settle(ctx, decisions)
		g.gather(len(decisions))
	}
}

// take returns the next group, at most one decision about each aggregate: the server
// would accept two that expect the same. Without any, the goroutine is to end.
func (g *group) take() []*decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	var (
		taken, left     []*decision
		messages, bytes int
		aggregates      = make(map[string]struct{}, len(g.waiting))
	)
	for _, d := range g.waiting {
		size := 0
		for _, m := range d.messages {
			size += m.Size() + batchHeaders
		}
		_, twice := aggregates[d.id]
		aggregates[d.id] = struct{}{}
		fits := len(taken) == 0 || messages+len(d.messages) <= maxBatch && bytes+size <= groupBytes
		if twice || !fits {
			left = append(left, d)
			continue
		}
		taken, messages, bytes = append(taken, d), messages+len(d.messages), bytes+size
	}
	g.waiting = left
	g.sending = len(taken) > 0
	return taken
}

// settle publishes a group and tells its members.
func (g *group) settle(ctx context.Context, decisions []*decision) {
	var messages []*nats.Msg
	for _, d := range decisions {
		messages = append(messages, d.messages...)
	}
	last, err := g.send(ctx, messages)
	sequence := last - uint64(len(messages))
	for _, d := range decisions {
		sequence += uint64(len(d.messages))
		d.settled <- settlement{sequence: sequence, err: err}
	}
}

// gather waits a moment for writers that have just been answered: they tend to come
// back at once, and would else have to wait for a group that has only the first.
func (g *group) gather(answered int) {
	if answered < 2 {
		return
	}
	g.mu.Lock()
	expected := answered + len(g.waiting)
	g.mu.Unlock()
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	for {
		g.mu.Lock()
		here := len(g.waiting)
		g.mu.Unlock()
		if here >= expected {
			return
		}
		select {
		case <-g.arrived:
		case <-timer.C:
			return
		}
	}
}
