package notification

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
)

type reactions struct {
	notifications *aggregate.Aggregates[notificationapi.Notification]
	users         *projection.View[addressee]
	replicating   *projection.Runner // of users
	mail          mailer
	operators     []string // whom alerts are mailed to
	js            jetstream.JetStream
	log           *slog.Logger
}

// userCreated welcomes a user. See notify for why it may run twice.
func (r reactions) userCreated(ctx context.Context, e event.Of[userapi.Created]) error {
	return r.notify(ctx, e.Event, notificationapi.About{Kind: notificationapi.KindWelcome, UserID: e.Subject},
		addressee{Username: e.Data.Username, Email: e.Data.Email}, welcome(e.Data.Username))
}

// orderCreated confirms an order to the user who placed it. See notify for why it
// may run twice.
func (r reactions) orderCreated(ctx context.Context, e event.Of[orderapi.Created]) error {
	to, err := r.users.Get(ctx, e.Data.UserID)
	if errors.Is(err, projection.ErrNotFound) {
		// Who orders exists, so the replica has the user once it is up to date.
		if err := r.replicating.CaughtUp(ctx); err != nil {
			return fmt.Errorf("user %s is not known here yet: %w", e.Data.UserID, err)
		}
		to, err = r.users.Get(ctx, e.Data.UserID)
	}
	if err != nil {
		return fmt.Errorf("user %s: %w", e.Data.UserID, err)
	}
	if to.Erased {
		return r.mail.Forget(e.Data.UserID) // an earlier run may have got as far as sending
	}
	about := notificationapi.About{Kind: notificationapi.KindOrderConfirmation, UserID: e.Data.UserID, OrderID: e.Subject}
	if err := r.notify(ctx, e.Event, about, to, orderConfirmation(to.Username, e.Data)); err != nil {
		return err
	}
	// Erased while the mail was written: userErased may have looked before it was there.
	if to, err = r.users.Get(ctx, e.Data.UserID); err != nil {
		return fmt.Errorf("user %s: %w", e.Data.UserID, err)
	}
	if to.Erased {
		return r.mail.Forget(e.Data.UserID)
	}
	return nil
}

// userErased forgets the user's mails and what was given up of them. It comes after
// the user's welcome is settled, being in the same lane, and waits until the replica
// has no address for any other mail. It may run again: what is gone is gone. Trouble
// does not make it a dead letter, which would leave personal data where it is: it
// tries until it is told to stop.
func (r reactions) userErased(ctx context.Context, e event.Of[userapi.Erased]) error {
	const pause = time.Second
	for {
		err := r.forget(ctx, e)
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.log.WarnContext(ctx, "user not forgotten yet, will retry", "user_id", e.Subject, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func (r reactions) forget(ctx context.Context, e event.Of[userapi.Erased]) error {
	if err := r.users.Wait(ctx, e.Sequence); err != nil {
		return fmt.Errorf("forget user %s: %w", e.Subject, err)
	}
	if err := r.mail.Forget(e.Subject); err != nil {
		return fmt.Errorf("forget user %s: %w", e.Subject, err)
	}
	return bus.EraseDeadLetters(ctx, r.js, func(l bus.DeadLetter) bool {
		return l.Stream == e.Stream && strings.HasSuffix(l.Subject, "."+e.Subject)
	})
}

// notify sends one mail and records it. It may run twice for one event: the
// notification's id derives from the event, what is recorded as sent is not sent
// again, and when the process dies between sending and recording, the second mail
// has the Message-ID of the first.
func (r reactions) notify(ctx context.Context, cause event.Event, about notificationapi.About, to addressee, l letter) error {
	if !userapi.Reachable(to.Email) {
		return nil // there is nobody to write to
	}
	about.NotificationID = event.DeriveID("notification", string(about.Kind), cause.Source, cause.ID)
	return r.send(ctx, cause, about, to.Email, l)
}

// send sends the mail that about names, and records it.
func (r reactions) send(ctx context.Context, cause event.Event, about notificationapi.About, address string, l letter) error {
	about.EventID = cause.ID
	known, err := r.notifications.Get(ctx, about.NotificationID)
	if err != nil && !errors.Is(err, aggregate.ErrNotFound) {
		return err
	}
	if known.State.Status == notificationapi.StatusSent {
		return nil
	}
	sendErr := r.mail.Send(ctx, email{
		ID: about.NotificationID, UserID: about.UserID, To: address, Date: cause.Time, letter: l,
		CorrelationID: event.MetadataFrom(ctx).CorrelationID,
	})
	about.Timestamp = time.Now().UTC()
	if sendErr == nil {
		if err := r.record(ctx, notificationapi.Sent{About: about}); err != nil {
			return err
		}
		r.log.InfoContext(ctx, "notification sent", "kind", about.Kind, "notification_id", about.NotificationID,
			"user_id", about.UserID, "alert_id", about.AlertID, "event_id", about.EventID)
		return nil
	}
	undeliverable := errors.Is(sendErr, errUndeliverable)
	if attempt, most := bus.Attempt(ctx); undeliverable || attempt >= most {
		if err := r.record(ctx, notificationapi.Failed{About: about}); err != nil {
			return errors.Join(sendErr, err)
		}
	}
	if undeliverable {
		return bus.Drop(sendErr)
	}
	return sendErr
}

func (r reactions) record(ctx context.Context, outcome event.Data) error {
	id := ""
	switch d := outcome.(type) {
	case notificationapi.Sent:
		id = d.NotificationID
	case notificationapi.Failed:
		id = d.NotificationID
	}
	// The rules say what to record only once, so the command needs no key.
	m := event.MetadataFrom(ctx)
	m.Keyed = false
	_, err := r.notifications.Do(event.WithMetadata(ctx, m), aggregate.Command[notificationapi.Notification]{
		ID:     id,
		Decide: func(n notificationapi.Notification) ([]event.Data, error) { return record(n, outcome) },
	})
	return err
}
