package notification

import (
	"fmt"

	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/notification/notificationapi"
	"sluice/services/user/userapi"
)

// The indexes of notifications: all, and each user's, by when they were recorded.
const (
	byTime = "by-time"
	byUser = "by-user"
)

// project keeps each notification under its id. The indexes order by the stream
// sequence of its first event, in digits that sort.
func project(tx *projection.Tx[notificationapi.Notification], e event.Event, data event.Data) error {
	n, _, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	n = apply(n, e, data)
	tx.Put(e.Subject, n)
	if e.Version != 1 {
		return nil
	}
	tx.Index(fmt.Sprintf("%s.%020d.%s", byTime, e.Sequence, e.Subject), e.Subject)
	if event.CheckID(n.UserID) == nil {
		tx.Index(fmt.Sprintf("%s.%s.%020d.%s", byUser, n.UserID, e.Sequence, e.Subject), e.Subject)
	}
	return nil
}

// addressee is what this service keeps of a user: whom to write to.
type addressee struct {
	Username string `json:"username"`
	Email    string `json:"email"`
	Erased   bool   `json:"erased,omitzero"` // nobody to write to any more
}

// replicate builds the replica of users.
func replicate(tx *projection.Tx[addressee], e event.Event, data event.Data) error {
	switch d := data.(type) {
	case userapi.Created:
		tx.Put(e.Subject, addressee{Username: d.Username, Email: d.Email})
	case userapi.Changed:
		tx.Put(e.Subject, addressee{Username: d.Username, Email: d.Email})
	case userapi.Erased:
		tx.Put(e.Subject, addressee{Erased: true})
	}
	return nil
}
