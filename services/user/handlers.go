package user

import (
	"context"
	"errors"
	"strings"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/user/userapi"
)

type handlers struct {
	users     *aggregate.Aggregates[userapi.User]
	store     *eventstore.Store
	view      *projection.View[userapi.User]
	passwords *passwords
	claims    claims
	ring      *auth.Ring
	sessions  *sessions
	attempts  attempts
	admins    admins
}

// create writes the password's hash first, so that no user is without one. A repeat
// finds it there and leaves it alone.
func (h handlers) create(ctx context.Context, req userapi.CreateRequest) (userapi.User, error) {
	id := event.MetadataFrom(ctx).NewID("user")
	wrote, err := h.passwords.create(ctx, id, req.Password)
	if err != nil {
		return userapi.User{}, err
	}
	result, err := h.users.Do(ctx, h.registration(userapi.Created{
		UserID: id, Username: req.Username, Email: req.Email, Timestamp: time.Now().UTC(),
	}))
	if code := endpoint.CodeOf(err); wrote && (code == endpoint.CodeConflict || code == endpoint.CodeInvalid) {
		return userapi.User{}, errors.Join(err, h.passwords.remove(ctx, id))
	}
	return result.State, err
}

// registration is the command that makes a user, from wherever it comes.
func (h handlers) registration(created userapi.Created) aggregate.Command[userapi.User] {
	return aggregate.Command[userapi.User]{
		ID: created.UserID, Create: true,
		Decide: func(u userapi.User) ([]event.Data, error) { return register(u, created) },
		Claims: []eventstore.Claim{h.claims.username(created.Username), h.claims.email(created.Email)},
	}
}

// get answers from the read model, and from the history when the model has not got
// there yet.
func (h handlers) get(ctx context.Context, req userapi.GetRequest) (userapi.User, error) {
	if err := maySee(ctx, req.ID); err != nil {
		return userapi.User{}, err
	}
	if err := h.view.Await(ctx); err != nil {
		return userapi.User{}, err
	}
	u, err := h.view.Get(ctx, req.ID)
	if !errors.Is(err, projection.ErrNotFound) && !errors.Is(err, projection.ErrKey) {
		return u, err
	}
	result, err := h.users.Get(ctx, req.ID)
	if errors.Is(err, aggregate.ErrNotFound) || err == nil && isErased(result.State) {
		err = exists(userapi.User{})
	}
	return result.State, err
}

// update moves the claims on the names with the event that says so.
func (h handlers) update(ctx context.Context, req userapi.UpdateRequest) (userapi.User, error) {
	if err := mayChange(ctx, req.ID); err != nil {
		return userapi.User{}, err
	}
	result, err := h.users.Do(ctx, aggregate.Command[userapi.User]{
		ID: req.ID,
		Decide: func(u userapi.User) ([]event.Data, error) {
			return change(u, req.Username, req.Email, time.Now().UTC())
		},
		ClaimsOn: func(u userapi.User) []eventstore.Claim { return h.claims.transfer(u, req.Username, req.Email) },
	})
	return result.State, err
}

// erase frees the names and says that the user is to be forgotten. What there is of it
// is deleted by those who hear of that: see [erasure].
func (h handlers) erase(ctx context.Context, req userapi.EraseRequest) (userapi.EraseResponse, error) {
	if err := mayChange(ctx, req.ID); err != nil {
		return userapi.EraseResponse{}, err
	}
	if err := h.admins.strike(ctx, req.ID); err != nil {
		return userapi.EraseResponse{}, err
	}
	result, err := h.users.Do(ctx, aggregate.Command[userapi.User]{
		ID:       req.ID,
		Decide:   func(u userapi.User) ([]event.Data, error) { return erase(u, time.Now().UTC()) },
		ClaimsOn: h.claims.release,
	})
	return userapi.EraseResponse{ID: req.ID, Version: result.Version}, errors.Join(err, h.relist(ctx, req.ID))
}

// setRoles strikes an admin off the list first, so that two requests at once do not
// take the role from the last two.
func (h handlers) setRoles(ctx context.Context, req userapi.SetRolesRequest) (userapi.User, error) {
	if !isAdmin(req.Roles) {
		if err := h.admins.strike(ctx, req.ID); err != nil {
			return userapi.User{}, err
		}
	}
	result, err := h.users.Do(ctx, aggregate.Command[userapi.User]{
		ID:     req.ID,
		Decide: func(u userapi.User) ([]event.Data, error) { return grant(u, req.Roles, time.Now().UTC()) },
	})
	return result.State, errors.Join(err, h.relist(ctx, req.ID))
}

// relist puts a user who is an admin on the list: by this command, or still, because
// the command was refused.
func (h handlers) relist(ctx context.Context, user string) error {
	is, err := h.isAdmin(ctx, user)
	if err != nil || !is {
		return err
	}
	return h.admins.add(ctx, user)
}

func (h handlers) isAdmin(ctx context.Context, user string) (bool, error) {
	u, err := h.present(ctx, user)
	return isAdmin(u.Roles), err
}

func (h handlers) list(ctx context.Context, req userapi.ListRequest) (userapi.ListResponse, error) {
	if err := h.view.Await(ctx); err != nil {
		return userapi.ListResponse{}, err
	}
	items, next, err := h.view.List(ctx, byTime, req.Cursor, req.Limit)
	if errors.Is(err, projection.ErrCursor) {
		return userapi.ListResponse{}, endpoint.Invalid("the cursor is malformed", endpoint.FieldError{Field: "cursor", Message: "is malformed"})
	}
	return userapi.ListResponse{Items: items, Next: next}, err
}

// find returns the id of the user with this username or e-mail, empty for nobody. A
// username holds no @.
func (h handlers) find(ctx context.Context, login string) (string, error) {
	claim := h.claims.username(login)
	if strings.Contains(login, "@") {
		claim = h.claims.email(login)
	}
	id, _, err := h.store.Holder(ctx, claim)
	return id, err
}
