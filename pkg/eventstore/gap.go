package eventstore

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// gap is a stretch of the stream where foreign messages of an aggregate lie or lay: after
// the event at sequence after, up to the message at until, behind which the events with
// versions first to last were stored, in one decision.
type gap struct {
	after, until uint64
	first, last  uint64
}

// isLinked reports whether the stream vouched for e in some way: see checkGaps.
func (e Recorded) isLinked() bool { return e.anchored || e.gap > 0 }

// gaps returns those before the events of chain.
func gaps(chain []Recorded) []gap {
	var all []gap
	for _, e := range chain {
		if e.anchored {
			continue
		}
		g := gap{after: continued(e.Event), until: e.gap, first: e.Version, last: e.Version}
		if n := len(all); n > 0 && all[n-1].after == g.after && all[n-1].until == g.until {
			all[n-1].last = e.Version // the next step of the decision
			continue
		}
		all = append(all, g)
	}
	return all
}

// checkGaps returns errBroken when a gap in chain holds something that may itself be the
// event behind the gap. An event links to the one before it, and the stream vouched that
// nothing came between the gap's end and the event; so when the gap has no other event of
// that version, the link is the only one there is. It asks the leader: a replica may have
// the event behind a gap while another, which answers this, has not.
func (s *Store) checkGaps(ctx context.Context, chain []Recorded) error {
	found := gaps(chain)
	if len(found) == 0 {
		return nil
	}
	subjects, err := s.subjectsOf(ctx, chain[0].Subject)
	if err != nil {
		return err
	}
	const parallel = 12
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, g := range found {
		for _, subject := range subjects {
			group.Go(func() error { return s.checkGap(ctx, g, subject) })
		}
	}
	return group.Wait()
}

// checkGap is checkGaps for the messages on one subject.
func (s *Store) checkGap(ctx context.Context, g gap, subject string) error {
	for next := g.after + 1; next <= g.until; {
		m, err := s.getFromLeader(ctx, getRequest{Sequence: next, Next: subject})
		if errors.Is(err, errNoMessage) {
			return nil
		}
		if err != nil {
			return err
		}
		if m.sequence > g.until {
			return nil
		}
		if e, err := s.record(m); err == nil && (e.begins || g.first <= e.Version && e.Version <= g.last) {
			return errBroken
		}
		next = m.sequence + 1
	}
	return nil
}
