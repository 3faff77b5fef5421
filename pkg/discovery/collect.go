package discovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// question is one request to all instances, or to all of one service.
type question struct {
	verb  micro.Verb
	name  string   // "" means every service
	known []string // keys of those that are expected to answer
}

// noResponders is the status of NATS's own answer when nobody listens.
const noResponders = "503"

// inboxLimit bounds how many answers wait to be read; some thousand instances answer
// within a few milliseconds.
const inboxLimit = 16384

// collect asks and returns the answers, one for each instance, in the order they came. An
// answer that is no answer to this question is passed over: outsiders can send on an
// inbox whatever they like.
func collect[T identified](ctx context.Context, c *Client, q question) ([]T, error) {
	subject, err := micro.ControlSubject(q.verb, q.name, "")
	if err != nil {
		return nil, fmt.Errorf("ask for instances: %w", err)
	}
	if !c.nc.IsConnected() {
		return nil, fmt.Errorf("ask %s: %w", subject, ErrUnreachable)
	}
	reconnects := c.nc.Stats().Reconnects
	answers, err := gather[T](ctx, c, subject, q)
	if !c.nc.IsConnected() || c.nc.Stats().Reconnects != reconnects {
		// Answers may have been lost with the connection.
		return nil, fmt.Errorf("ask %s: %w", subject, errors.Join(ErrUnreachable, err))
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	return answers, nil
}

func gather[T identified](ctx context.Context, c *Client, subject string, q question) (answers []T, err error) {
	inbox := make(chan *nats.Msg, inboxLimit)
	sub, err := c.nc.ChanSubscribe(c.nc.NewInbox(), inbox)
	if err != nil {
		return nil, err
	}
	defer func() {
		if gone := sub.Unsubscribe(); gone != nil && !errors.Is(gone, nats.ErrConnectionClosed) {
			err = errors.Join(err, gone)
		}
	}()
	if err := c.nc.PublishRequest(subject, sub.Subject, nil); err != nil {
		return nil, err
	}
	most := time.NewTimer(c.cfg.Collect)
	defer most.Stop()
	var grace <-chan time.Time // nil until all known ones have answered
	missing := setOf(q.known)
	seen := make(map[string]bool)
	for {
		select {
		case m := <-inbox:
			if m.Header.Get("Status") == noResponders && len(m.Data) == 0 {
				return nil, ErrNoInstances
			}
			answer, ok := read[T](m, q.name)
			key := answer.who().key()
			if !ok || seen[key] {
				continue
			}
			seen[key] = true
			answers = append(answers, answer)
			delete(missing, key)
			if grace == nil && len(q.known) > 0 && len(missing) == 0 {
				grace = time.After(c.cfg.Grace)
			}
		case <-grace:
			return answers, nil
		case <-most.C:
			if len(answers) == 0 {
				return nil, ErrTimeout
			}
			return answers, nil
		case <-ctx.Done():
			// What came so far may be a part, which nobody could tell from the whole.
			return nil, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
		}
	}
}

func setOf(keys []string) map[string]struct{} {
	set := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		set[key] = struct{}{}
	}
	return set
}

func read[T identified](m *nats.Msg, name string) (T, bool) {
	var answer T
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return answer, false
	}
	sender := answer.who()
	return answer, sender.ID != "" && checkName(sender.Name) == nil && (name == "" || sender.Name == name)
}
