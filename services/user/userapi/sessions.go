package userapi

import "sluice/pkg/endpoint"

// The endpoints of sessions.
var (
	// Login has the collection as its Location: a session has no address of its own.
	Login = endpoint.Method[LoginRequest, Session]{
		Service: "user", Name: "login", HTTP: "POST /v1/sessions", Location: "/v1/sessions", Auth: endpoint.Public,
		Description: "Logs in with username or e-mail and password, or goes on with a refresh token, which is good once.",
	}
	Logout = endpoint.Method[LogoutRequest, struct{}]{
		Service: "user", Name: "logout", HTTP: "POST /v1/sessions/end", Idempotent: true, Auth: endpoint.Public,
		Description: "Ends a session: its refresh token is good no more. An access token is until it expires.",
	}
)

// LoginRequest proves who one is: by login and password, or by the refresh token of a
// session.
type LoginRequest struct {
	Login        string `json:"login,omitempty" validate:"max=254"` // username or e-mail
	Password     string `json:"password,omitempty" validate:"max=256"`
	RefreshToken string `json:"refresh_token,omitempty" validate:"max=256"`
}

// Validate asks for one of the two ways.
func (r LoginRequest) Validate() []endpoint.FieldError {
	var wrong []endpoint.FieldError
	if r.RefreshToken != "" {
		if r.Login != "" || r.Password != "" {
			wrong = append(wrong, endpoint.FieldError{Field: "refresh_token", Message: "excludes login and password"})
		}
		return wrong
	}
	if r.Login == "" {
		wrong = append(wrong, endpoint.FieldError{Field: "login", Message: "is required"})
	}
	if r.Password == "" {
		wrong = append(wrong, endpoint.FieldError{Field: "password", Message: "is required"})
	}
	return wrong
}

// Redact leaves out what is secret.
func (r LoginRequest) Redact() any {
	r.Password, r.RefreshToken = "", ""
	return r
}

// Session is what one gets for it. It is for who asked alone.
type Session struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"` // "Bearer"
	ExpiresIn    int64  `json:"expires_in"` // seconds that the access token is good
	RefreshToken string `json:"refresh_token"`
}

// LogoutRequest names a session by its refresh token.
type LogoutRequest struct {
	RefreshToken string `json:"refresh_token" validate:"required,max=256"`
}

// Redact leaves out what is secret.
func (r LogoutRequest) Redact() any {
	r.RefreshToken = ""
	return r
}
