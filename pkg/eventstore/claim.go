package eventstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
)

// Claim asks that a value belong to one aggregate only, such as an e-mail address
// to one user. It is stored with the events that need it, in one atomic batch, on
// the subject <entity>.claim.<name>.<hash>.
type Claim struct {
	Name string // what is unique: "email"
	// Hash stands for the normalised value; it must be one subject token. Use a
	// keyed hash, so that the stream does not give the value away.
	Hash string
	// Release gives the claim back: anybody may take it afterwards. What the aggregate
	// does not hold, it has nothing to give back of.
	Release bool
}

// claimRecord is the body of a claim: who holds it, or nobody after a release.
type claimRecord struct {
	Aggregate string `json:"aggregate,omitempty"`
	Released  bool   `json:"released,omitempty"`
}

var claimName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func (s *Store) claimSubject(c Claim) string {
	return s.stream.Entity + ".claim." + c.Name + "." + c.Hash
}

// claimMessages returns the messages that make id the holder of claims, or no
// holder, each expecting what it was found to be. It fails with a [*TakenError]
// when another aggregate holds one; before it says so it asks the leader.
func (s *Store) claimMessages(ctx context.Context, id string, claims []Claim, from source) ([]*nats.Msg, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	messages := make([]*nats.Msg, len(claims))
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range claims {
		if !claimName.MatchString(c.Name) || event.CheckID(c.Hash) != nil {
			return nil, fmt.Errorf("%w: claim %q has no valid name and hash", event.ErrInvalid, c.Name)
		}
		group.Go(func() (err error) {
			messages[i], err = s.claimMessage(ctx, id, c, from)
			if errors.Is(err, ErrTaken) && from == direct {
				messages[i], err = s.claimMessage(ctx, id, c, leader)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	needed := messages[:0]
	for _, m := range messages {
		if m != nil {
			needed = append(needed, m)
		}
	}
	return needed, nil
}

// claimMessage returns nil when the claim is already as wanted.
func (s *Store) claimMessage(ctx context.Context, id string, c Claim, from source) (*nats.Msg, error) {
	subject := s.claimSubject(c)
	var record claimRecord
	m, err := s.last(ctx, subject, from)
	switch {
	case errors.Is(err, errNoMessage):
		record.Released = true
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(m.data, &record); err != nil {
			return nil, fmt.Errorf("claim %s: %w", c.Name, err)
		}
	}
	switch {
	case c.Release && record.Aggregate != id:
		return nil, nil
	case !record.Released && record.Aggregate != id:
		return nil, &TakenError{Claim: c.Name, Holder: record.Aggregate}
	case record.Released == c.Release:
		return nil, nil
	}
	wanted := claimRecord{Aggregate: id}
	if c.Release {
		wanted = claimRecord{Released: true}
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", c.Name, err)
	}
	return &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
		"content-type":                      {event.ContentType},
		jetstream.ExpectedLastSubjSeqHeader: {formatSequence(m.sequence)},
	}}, nil
}

// Holder returns the aggregate that holds the claim, or false when nobody does. It asks any
// replica, so a holder may be one of a moment ago, and for nobody the leader.
func (s *Store) Holder(ctx context.Context, c Claim) (id string, held bool, err error) {
	record, err := s.holder(ctx, c, direct)
	if err == nil && record.Aggregate == "" {
		record, err = s.holder(ctx, c, leader)
	}
	if err != nil {
		return "", false, fmt.Errorf("claim %s: %w", c.Name, err)
	}
	return record.Aggregate, record.Aggregate != "", nil
}

func (s *Store) holder(ctx context.Context, c Claim, from source) (claimRecord, error) {
	m, err := s.last(ctx, s.claimSubject(c), from)
	if errors.Is(err, errNoMessage) {
		return claimRecord{Released: true}, nil
	}
	var record claimRecord
	if err == nil {
		err = json.Unmarshal(m.data, &record)
	}
	return record, err
}
