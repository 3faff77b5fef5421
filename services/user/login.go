package user

import (
	"context"
	"errors"

	"sluice/pkg/aggregate"
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
)

func wrongLogin() *endpoint.Error { return endpoint.Unauthenticated("login or password is wrong") }

// login begins a session, or goes on with one.
func (h handlers) login(ctx context.Context, req userapi.LoginRequest) (userapi.Session, error) {
	if req.RefreshToken != "" {
		return h.refresh(ctx, req.RefreshToken)
	}
	u, credential, err := h.prove(ctx, req.Login, req.Password)
	if err != nil {
		return userapi.Session{}, err
	}
	if err := h.admins.use(ctx, u.ID); err != nil {
		return userapi.Session{}, err
	}
	token, err := h.sessions.begin(ctx, u.ID, credential)
	if err != nil {
		return userapi.Session{}, err
	}
	return h.session(u, token)
}

// refresh goes on with a session: with the roles that the user has by now, and not at
// all when the user is gone or has another password.
func (h handlers) refresh(ctx context.Context, token string) (userapi.Session, error) {
	found, err := h.sessions.find(ctx, token)
	if err != nil {
		return userapi.Session{}, over(err)
	}
	u, err := h.present(ctx, found.user())
	if err != nil {
		return userapi.Session{}, err
	}
	credential, err := h.passwords.revision(ctx, found.user())
	if err != nil {
		return userapi.Session{}, err
	}
	if u.ID == "" || credential > found.Credential { // a lower one is what a replica of the bucket still has
		return userapi.Session{}, over(errors.Join(errSession, h.sessions.end(ctx, token)))
	}
	if token, err = h.sessions.renew(ctx, found); err != nil {
		return userapi.Session{}, over(err)
	}
	return h.session(u, token)
}

// over is the answer to a refresh token that is good no more.
func over(err error) error {
	if errors.Is(err, errSession) {
		return endpoint.Unauthenticated("the session is over: log in again").Because(err)
	}
	return err
}

func (h handlers) session(u userapi.User, refresh string) (userapi.Session, error) {
	access, lifetime, err := h.ring.Issue(auth.Identity{User: u.ID, Roles: u.Roles})
	if err != nil {
		return userapi.Session{}, endpoint.Unavailable("no session can be made now").Because(err)
	}
	return userapi.Session{AccessToken: access, TokenType: "Bearer", ExpiresIn: int64(lifetime.Seconds()), RefreshToken: refresh}, nil
}

// logout ends a session, and answers the same when there is none.
func (h handlers) logout(ctx context.Context, req userapi.LogoutRequest) (struct{}, error) {
	return struct{}{}, h.sessions.end(ctx, req.RefreshToken)
}

// authenticate takes the same time whether the user exists or not.
func (h handlers) authenticate(ctx context.Context, req userapi.AuthenticateRequest) (userapi.User, error) {
	u, _, err := h.prove(ctx, req.Login, req.Password)
	return u, err
}

// prove returns the user who has this login and password, and which password that is.
// Attempts that fail slow down those that come after.
func (h handlers) prove(ctx context.Context, login, password string) (userapi.User, uint64, error) {
	if err := h.attempts.begin(ctx, login); err != nil {
		return userapi.User{}, 0, err
	}
	id, err := h.find(ctx, login)
	if err != nil {
		return userapi.User{}, 0, err
	}
	credential, err := h.passwords.match(ctx, id, password)
	if err != nil {
		return userapi.User{}, 0, err
	}
	if credential == 0 {
		return userapi.User{}, 0, wrongLogin()
	}
	u, err := h.present(ctx, id)
	if err != nil {
		return userapi.User{}, 0, err
	}
	if u.ID == "" {
		return userapi.User{}, 0, wrongLogin()
	}
	return u, credential, h.attempts.succeeded(ctx, login)
}

// present returns a user by the history, the zero value for one who is not there.
func (h handlers) present(ctx context.Context, id string) (userapi.User, error) {
	result, err := h.users.Get(ctx, id)
	if errors.Is(err, aggregate.ErrNotFound) || err == nil && isErased(result.State) {
		return userapi.User{}, nil
	}
	return result.State, err
}

// setPassword changes the password of who asks, and ends all sessions that began with
// the one before.
func (h handlers) setPassword(ctx context.Context, req userapi.SetPasswordRequest) (struct{}, error) {
	if auth.From(ctx).User != req.ID {
		return struct{}{}, endpoint.Forbidden("everybody changes their own password")
	}
	if err := h.attempts.begin(ctx, req.ID); err != nil {
		return struct{}{}, err
	}
	credential, err := h.passwords.match(ctx, req.ID, req.Current)
	if err != nil {
		return struct{}{}, err
	}
	if credential == 0 {
		return struct{}{}, endpoint.Invalid("the current password is wrong", endpoint.FieldError{Field: "current", Message: "is wrong"})
	}
	err = h.passwords.replace(ctx, req.ID, req.New, credential)
	if errors.Is(err, errOvertaken) {
		return struct{}{}, endpoint.Conflict("the password was changed meanwhile").Because(err)
	}
	if err == nil {
		err = h.sessions.endAll(ctx, req.ID)
	}
	if err == nil {
		err = h.attempts.succeeded(ctx, req.ID)
	}
	return struct{}{}, err
}
