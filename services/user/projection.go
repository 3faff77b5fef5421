package user

import (
	"strconv"

	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/user/userapi"
)

// byTime is the index of all users by when they came.
const byTime = "by-time"

// project keeps each user under its id, and lists users by the stream sequence of
// their first event, in digits that sort.
func project(tx *projection.Tx[userapi.User], e event.Event, data event.Data) error {
	u, _, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	u = apply(u, e, data)
	if isErased(u) {
		tx.Delete(e.Subject) // what is left in the index is the id
		return nil
	}
	tx.Put(e.Subject, u)
	if e.Version == 1 {
		tx.Index(byTime+"."+sortable(e.Sequence)+"."+e.Subject, e.Subject)
	}
	return nil
}

func sortable(n uint64) string {
	s := strconv.FormatUint(n, 10)
	return "00000000000000000000"[len(s):] + s
}
