package user

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/services/user/userapi"
)

// erasure deletes what this service has of erased users. The read model forgets by
// itself, and so do other services, who hear of it as we do.
type erasure struct {
	users     *aggregate.Aggregates[userapi.User]
	js        jetstream.JetStream
	passwords *passwords
	sessions  *sessions
	log       *slog.Logger
}

// userErased may run any number of times, and after a crash goes on with what is
// still there. The history goes after the dead letters, since it tells the names to
// look for; then only a guard that was at work meanwhile can have added one.
func (r erasure) userErased(ctx context.Context, e event.Of[userapi.Erased]) error {
	if err := r.passwords.remove(ctx, e.Subject); err != nil {
		return err
	}
	if err := r.sessions.endAll(ctx, e.Subject); err != nil {
		return err
	}
	known, err := r.names(ctx, e.Subject)
	if err != nil {
		return err
	}
	if err := bus.EraseDeadLetters(ctx, r.js, known.in); err != nil {
		return err
	}
	err = r.users.Erase(ctx, e.Subject)
	if _, foreign := errors.AsType[*eventstore.ForeignError](err); foreign || errors.Is(err, eventstore.ErrNotErased) {
		return bus.Drop(err) // it was not this service that wrote the event
	}
	if err != nil {
		return err
	}
	if err := bus.EraseDeadLetters(ctx, r.js, known.in); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "user erased", "user_id", e.Subject)
	return nil
}

// names is by what one user may be mentioned: the id, and all names it ever had.
type names struct {
	id        string
	usernames []string
	emails    []string
}

func (r erasure) names(ctx context.Context, id string) (names, error) {
	history, err := r.users.History(ctx, id)
	if err != nil && !errors.Is(err, aggregate.ErrNotFound) {
		return names{}, err
	}
	known := names{id: id}
	for _, e := range history {
		if username, email, ok := namesOf(e); ok {
			known.usernames = append(known.usernames, userapi.Normalize(username))
			known.emails = append(known.emails, userapi.Normalize(email))
		}
	}
	return known, nil
}

func namesOf(e event.Event) (username, email string, ok bool) {
	data, err := userapi.Events.Decode(e)
	if err != nil {
		return "", "", false
	}
	switch d := data.(type) {
	case userapi.Created:
		return d.Username, d.Email, true
	case userapi.Changed:
		return d.Username, d.Email, true
	default:
		return "", "", false
	}
}

// in reports whether a dead letter mentions the user: by id or e-mail anywhere, by
// username where one stands, since elsewhere it may be any word.
func (n names) in(l bus.DeadLetter) bool {
	if strings.Contains(l.Subject, n.id) || bytes.Contains(l.Data, []byte(n.id)) {
		return true
	}
	texts := []string{string(l.Data)}
	for _, values := range l.Header {
		for _, v := range values {
			if strings.Contains(v, n.id) {
				return true
			}
		}
		texts = append(texts, values...)
	}
	text := userapi.Normalize(strings.Join(texts, "\n"))
	if slices.ContainsFunc(n.emails, func(email string) bool { return strings.Contains(text, email) }) {
		return true
	}
	e, err := event.Decode(l.Header, l.Data)
	if err != nil {
		return false
	}
	username, _, ok := namesOf(e)
	return ok && slices.Contains(n.usernames, userapi.Normalize(username))
}
