package notification

import (
	"context"
	"errors"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
	"sluice/services/registry/registryapi"
)

// alertRaised tells operators of trouble. See tellOperators for why it may run twice.
func (r reactions) alertRaised(ctx context.Context, e event.Of[registryapi.AlertRaised]) error {
	return r.tellOperators(ctx, e.Event, raisedAlert(e.Data))
}

// alertResolved tells operators that it is over. See tellOperators for why it may run
// twice.
func (r reactions) alertResolved(ctx context.Context, e event.Of[registryapi.AlertResolved]) error {
	return r.tellOperators(ctx, e.Event, resolvedAlert(e.Data))
}

// tellOperators sends one mail to each operator. It may run twice for one event, see
// notify: who has the mail does not get it again, and who is to get it is tried again,
// whatever became of the others. An address that is refused for good is given up only
// once the others are settled.
func (r reactions) tellOperators(ctx context.Context, cause event.Event, l letter) error {
	var retried, refused []error
	for _, address := range r.operators {
		about := notificationapi.About{
			NotificationID: event.DeriveID("notification", string(notificationapi.KindAlert), cause.Source, cause.ID, address),
			AlertID:        cause.Subject, Kind: notificationapi.KindAlert,
		}
		err := r.send(ctx, cause, about, address, l)
		switch {
		case errors.Is(err, errUndeliverable):
			refused = append(refused, err)
		case err != nil:
			retried = append(retried, err)
		}
	}
	if len(retried) > 0 {
		return errors.Join(retried...)
	}
	if len(refused) > 0 {
		return bus.Drop(errors.Join(refused...))
	}
	return nil
}
