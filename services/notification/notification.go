package notification

import (
	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
)

// apply folds one event into a notification.
func apply(n notificationapi.Notification, e event.Event, data event.Data) notificationapi.Notification {
	became := func(status notificationapi.Status, a notificationapi.About) {
		if n.Version == 0 {
			n.CreatedAt = a.Timestamp
		}
		n.ID, n.UserID, n.OrderID, n.AlertID, n.Kind, n.EventID = e.Subject, a.UserID, a.OrderID, a.AlertID, a.Kind, a.EventID
		n.Status, n.UpdatedAt = status, a.Timestamp
	}
	switch d := data.(type) {
	case notificationapi.Sent:
		became(notificationapi.StatusSent, d.About)
	case notificationapi.Failed:
		became(notificationapi.StatusFailed, d.About)
	}
	n.Version = e.Version
	return n
}

// record decides what to note after an attempt: a mail that was sent stays sent, and
// one failure is enough.
func record(n notificationapi.Notification, outcome event.Data) ([]event.Data, error) {
	_, failed := outcome.(notificationapi.Failed)
	if n.Status == notificationapi.StatusSent || n.Status == notificationapi.StatusFailed && failed {
		return nil, nil
	}
	return []event.Data{outcome}, nil
}
