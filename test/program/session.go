package program

import (
	"net/http"
	"testing"
)

// AdminPassword is the password of the user admin wherever this package starts Sluice.
const AdminPassword = "correct horse battery"

// adminPassword is the setting that says so.
const adminPassword = "SLUICE_ADMIN_PASSWORD"

// SignIn logs a user in, as soon as somebody takes logins, and returns their client.
// Its token is good for a quarter of an hour, whatever becomes of the process.
func (c Client) SignIn(t testing.TB, login, password string) Client {
	t.Helper()
	var session struct {
		Token string `json:"access_token"`
	}
	body := map[string]string{"login": login, "password": password}
	c.As("").Eventually(t, http.StatusCreated, http.MethodPost, "/v1/sessions", body).Into(t, http.StatusCreated, &session)
	return c.As(session.Token)
}
