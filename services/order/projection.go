package order

import (
	"fmt"

	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
)

// byUser is the index of each user's orders by when they were placed.
const byUser = "by-user"

// project keeps each order under its id, and lists a user's orders by the stream
// sequence of their first event, in digits that sort.
func project(tx *projection.Tx[orderapi.Order], e event.Event, data event.Data) error {
	o, _, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	o = apply(o, e, data)
	tx.Put(e.Subject, o)
	if e.Version == 1 && event.CheckID(o.UserID) == nil {
		tx.Index(fmt.Sprintf("%s.%s.%020d.%s", byUser, o.UserID, e.Sequence, e.Subject), e.Subject)
	}
	return nil
}
