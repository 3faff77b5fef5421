package user

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/services/user/userapi"
)

// firstAdminID is the user who is there from the first start, for all to log in as
// who has none to make them an admin.
var firstAdminID = event.DeriveID("user", "first admin")

// firstNames are what the first admin may be called: one of them is free, unless
// somebody took it before there were roles.
var firstNames = []string{"admin", "sluice-admin", "first-admin"}

// firstLease is how long a replica may take over it before another one begins again.
const firstLease = 10 * time.Second

// first makes the user admin at the first start. Its password comes from the
// configuration, or is made up and told once everything is ready. Until somebody has
// logged in with one that was made up, a later start makes another: the one before may
// never have been seen.
//
// A record says how far it has got. Several replicas that start at once take turns, and
// a crash at any step leaves a record from which the next start begins again. Nobody
// has been told a password by then. A replica that is overtaken writes nothing more,
// since its writes expect what it saw before it took its turn.
type first struct {
	handlers

	password string // configured; empty makes one up
	name     string // of this replica
	tell     func(username, password string)
}

// ensure returns when there is an admin who can log in.
func (f first) ensure(ctx context.Context) error {
	for {
		done, err := f.attempt(ctx)
		if done || err != nil && !errors.Is(err, errOvertaken) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond): // another replica is about it
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// attempt takes a turn. It is not done while another replica has its turn.
func (f first) attempt(ctx context.Context) (done bool, err error) {
	revision, err := f.passwords.revision(ctx, firstAdminID)
	if err != nil {
		return false, err
	}
	record, at, err := f.admins.read(ctx)
	if err != nil {
		return false, err
	}
	recent := time.Since(record.First.At) < firstLease
	switch state := record.First.State; {
	case state == firstDone:
		return true, nil
	case state == firstOffered && recent && f.password == "":
		return true, nil // by a replica that started with this one
	case state == firstMaking && recent && record.First.By != f.name:
		return false, nil
	}
	record.First = firstAdmin{State: firstMaking, By: f.name, At: time.Now().UTC()}
	if at, err = f.admins.write(ctx, record, at); err != nil {
		return false, err
	}
	password := f.password
	if password == "" {
		password = rand.Text()
	}
	if err := f.passwords.replace(ctx, firstAdminID, password, revision); err != nil {
		return false, err
	}
	username, err := f.make(ctx)
	if err != nil {
		return false, err
	}
	if !slices.Contains(record.Users, firstAdminID) {
		record.Users = append(record.Users, firstAdminID)
	}
	record.First = firstAdmin{State: firstDone}
	if f.password == "" {
		record.First = firstAdmin{State: firstOffered, At: time.Now().UTC()}
	}
	if _, err := f.admins.write(ctx, record, at); err != nil {
		return false, err
	}
	if f.password == "" {
		f.tell(username, password)
	}
	return true, nil
}

// make sees to it that the user is there and an admin, and returns what it is called.
func (f first) make(ctx context.Context) (username string, err error) {
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: event.NewID(), CausationID: event.NewID()})
	for _, name := range firstNames {
		var result aggregate.Result[userapi.User]
		result, err = f.users.Do(ctx, f.command(name))
		if err == nil {
			return result.State.Username, nil
		}
		if endpoint.CodeOf(err) != endpoint.CodeConflict {
			break
		}
	}
	return "", fmt.Errorf("make the user admin: %w", err)
}

func (f first) command(name string) aggregate.Command[userapi.User] {
	// Nobody reads mail there, until the admin says where to write to.
	created := userapi.Created{UserID: firstAdminID, Username: name, Email: name + "@sluice.invalid", Timestamp: time.Now().UTC()}
	return aggregate.Command[userapi.User]{
		ID: firstAdminID,
		Decide: func(u userapi.User) ([]event.Data, error) {
			if u.Version > 0 {
				return grant(u, append(slices.Clone(u.Roles), auth.Admin), created.Timestamp)
			}
			registered, err := register(u, created)
			if err != nil {
				return nil, err
			}
			return append(registered, userapi.RolesChanged{UserID: firstAdminID, Roles: []auth.Role{auth.Admin}, Timestamp: created.Timestamp}), nil
		},
		ClaimsOn: func(u userapi.User) []eventstore.Claim {
			if u.Version > 0 {
				return nil
			}
			return []eventstore.Claim{f.claims.username(created.Username), f.claims.email(created.Email)}
		},
	}
}
