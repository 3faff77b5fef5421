package user

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/streams"
)

// adminsKey is where the list lies in the bucket of what the service keeps to itself.
const adminsKey = "admins"

// admins keeps the list of admins, so that there is always one: who is to be none any
// more is struck off before the event says so, and only while another one stays. The
// list may lack an admin, after a crash between the two, but never saves the last one
// too late. Who is an admin, the history of users decides.
type admins struct {
	bucket jetstream.KeyValue
	isOne  func(ctx context.Context, user string) (bool, error) // by the history

	claimed *atomic.Bool // what is known of adminsRecord.First.State, to ask once
}

// adminsRecord is what is stored.
type adminsRecord struct {
	Users []string   `json:"users"`
	First firstAdmin `json:"first"`
}

// firstAdmin is how far the making of the user admin has got.
type firstAdmin struct {
	State firstState `json:"state"`
	By    string     `json:"by,omitempty"` // who makes it
	At    time.Time  `json:"at,omitzero"`  // since when
}

// firstState is a step in the making of the user admin.
type firstState string

// The steps.
const (
	firstMaking  firstState = "making"  // somebody is about it
	firstOffered firstState = "offered" // its password was printed, and nobody has used it
	firstDone    firstState = "done"
)

func openAdmins(ctx context.Context, js jetstream.JetStream, isOne func(context.Context, string) (bool, error)) (admins, error) {
	bucket, err := js.KeyValue(ctx, streams.BucketUserKeys)
	if err != nil {
		return admins{}, fmt.Errorf("open bucket %s: %w", streams.BucketUserKeys, err)
	}
	return admins{bucket: bucket, isOne: isOne, claimed: new(atomic.Bool)}, nil
}

// add puts an admin on the list.
func (a admins) add(ctx context.Context, user string) error {
	return a.change(ctx, func(r *adminsRecord) (bool, error) {
		if slices.Contains(r.Users, user) {
			return false, nil
		}
		r.Users = append(r.Users, user)
		return true, nil
	})
}

// strike takes a user off the list, or refuses to when no other admin is on it.
func (a admins) strike(ctx context.Context, user string) error {
	return a.change(ctx, func(r *adminsRecord) (bool, error) {
		at := slices.Index(r.Users, user)
		if at < 0 {
			return false, nil
		}
		r.Users = slices.Delete(slices.Clone(r.Users), at, at+1)
		for _, other := range r.Users {
			if stays, err := a.isOne(ctx, other); stays || err != nil {
				return stays, err
			}
		}
		return false, endpoint.Conflict("the last admin must stay one", endpoint.FieldError{Field: "roles", Message: "would leave no admin"})
	})
}

// use notes that the first admin has logged in: its password is not made anew any more.
func (a admins) use(ctx context.Context, user string) error {
	if user != firstAdminID || a.claimed.Load() {
		return nil
	}
	err := a.change(ctx, func(r *adminsRecord) (bool, error) {
		if r.First.State != firstOffered {
			return false, nil
		}
		r.First = firstAdmin{State: firstDone}
		return true, nil
	})
	if err == nil {
		a.claimed.Store(true)
	}
	return err
}

// change stores what edit makes of the list, unless it says that nothing is to be
// stored. edit may run several times.
func (a admins) change(ctx context.Context, edit func(*adminsRecord) (bool, error)) error {
	const tries = 20
	var err error
	for range tries {
		var record adminsRecord
		var revision uint64
		if record, revision, err = a.read(ctx); err != nil {
			return err
		}
		edited, refusal := edit(&record)
		if refusal != nil || !edited {
			return refusal
		}
		if _, err = a.write(ctx, record, revision); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return err
}

func (a admins) read(ctx context.Context) (adminsRecord, uint64, error) {
	var record adminsRecord
	entry, err := a.bucket.Get(ctx, adminsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value(), &record)
	}
	if err != nil {
		return adminsRecord{}, 0, fmt.Errorf("read the list of admins: %w", err)
	}
	return record, entry.Revision(), nil
}

// write stores the list in place of that of a revision, 0 for none, or fails with
// [errOvertaken].
func (a admins) write(ctx context.Context, record adminsRecord, revision uint64) (uint64, error) {
	value, err := json.Marshal(record)
	if err != nil {
		return 0, fmt.Errorf("store the list of admins: %w", err)
	}
	var stored uint64
	if revision == 0 {
		stored, err = a.bucket.Create(ctx, adminsKey, value)
	} else {
		stored, err = a.bucket.Update(ctx, adminsKey, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = errOvertaken
	}
	if err != nil {
		return 0, fmt.Errorf("store the list of admins: %w", err)
	}
	return stored, nil
}

// isAdmin tells by a user's roles.
func isAdmin(roles []auth.Role) bool { return slices.Contains(roles, auth.Admin) }
