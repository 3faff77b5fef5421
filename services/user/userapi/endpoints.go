package userapi

import (
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// The endpoints of the user service.
var (
	Create = endpoint.Method[CreateRequest, User]{
		Service: "user", Name: "create", HTTP: "POST /v1/users", Location: "/v1/users/{id}", Idempotent: true, Auth: endpoint.Public,
		Description: "Registers a user; username and e-mail belong to one user only.",
	}
	Get = endpoint.Method[GetRequest, User]{
		Service: "user", Name: "get", HTTP: "GET /v1/users/{id}", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Returns one user.",
	}
	List = endpoint.Method[ListRequest, ListResponse]{
		Service: "user", Name: "list", HTTP: "GET /v1/users", Idempotent: true, Auth: endpoint.Operator,
		Description: "Lists users, the newest first, page by page.",
	}
	Update = endpoint.Method[UpdateRequest, User]{
		Service: "user", Name: "update", HTTP: "PATCH /v1/users/{id}", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Changes username, e-mail or both; what is given up is free for others.",
	}
	Erase = endpoint.Method[EraseRequest, EraseResponse]{
		Service: "user", Name: "erase", HTTP: "DELETE /v1/users/{id}", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Erases a user: the names are free at once, all copies of personal data go soon after.",
	}
	Authenticate = endpoint.Method[AuthenticateRequest, User]{
		Service: "user", Name: "authenticate", Idempotent: true, Auth: endpoint.Public,
		Description: "Returns the user whose username or e-mail and password these are.",
	}
	SetPassword = endpoint.Method[SetPasswordRequest, struct{}]{
		Service: "user", Name: "set-password", HTTP: "PUT /v1/users/{id}/password", Auth: endpoint.SignedIn,
		Description: "Changes one's own password and ends all of one's sessions.",
	}
	SetRoles = endpoint.Method[SetRolesRequest, User]{
		Service: "user", Name: "set-roles", HTTP: "PUT /v1/users/{id}/roles", Idempotent: true, Auth: endpoint.Admin,
		Description: "Says what a user may do beyond what every customer may; it holds from the user's next access token on.",
	}
)

// Routes are the specs of all endpoints.
var Routes = []endpoint.Spec{
	Create.Spec(), Get.Spec(), List.Spec(), Update.Spec(), Erase.Spec(), Authenticate.Spec(), SetPassword.Spec(), SetRoles.Spec(),
	Login.Spec(), Logout.Spec(),
}

// User is a user as others see it.
type User struct {
	ID        string      `json:"id"`
	Username  string      `json:"username"`
	Email     string      `json:"email"`
	Roles     []auth.Role `json:"roles,omitempty"` // absent for a customer
	CreatedAt time.Time   `json:"created_at"`
	Version   uint64      `json:"version"`
}

// CreateRequest asks for a new user.
type CreateRequest struct {
	Username string `json:"username" validate:"required,max=64"`
	Email    string `json:"email" validate:"required,max=254,email"`
	Password string `json:"password" validate:"required,min=8,max=256"`
}

// Redact leaves out the password.
func (r CreateRequest) Redact() any {
	r.Password = ""
	return r
}

// Validate refuses names that cannot be told apart by eye or break a line.
func (r CreateRequest) Validate() []endpoint.FieldError { return CheckNames(r.Username, r.Email) }

// GetRequest asks for one user.
type GetRequest struct {
	ID string `json:"id" validate:"required,max=128"`
}

// UpdateRequest asks to call a user something else. What is absent stays.
type UpdateRequest struct {
	ID       string `json:"id" validate:"required,max=128"`
	Username string `json:"username,omitempty" validate:"max=64"`
	Email    string `json:"email,omitempty" validate:"max=254"`
}

// EraseRequest asks to forget one user.
type EraseRequest struct {
	ID string `json:"id" validate:"required,max=128"`
}

// EraseResponse names the user who is forgotten; the id stays, with what it was used for.
type EraseResponse struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
}

// ListRequest asks for a page of users.
type ListRequest struct {
	Limit  int    `json:"limit,omitzero" validate:"min=0,max=1000"` // default 50
	Cursor string `json:"cursor,omitempty" validate:"max=512"`      // next of the page before
}

// ListResponse is a page of users.
type ListResponse struct {
	Items []User `json:"items"`
	Next  string `json:"next,omitempty"` // the cursor of the next page, absent on the last
}

// AuthenticateRequest names a user and proves it.
type AuthenticateRequest struct {
	Login    string `json:"login" validate:"required,max=254"` // username or e-mail
	Password string `json:"password" validate:"required,max=256"`
}

// Redact leaves out the password.
func (r AuthenticateRequest) Redact() any {
	r.Password = ""
	return r
}

// SetPasswordRequest asks for another password, proving that one knows the current.
type SetPasswordRequest struct {
	ID      string `json:"id" validate:"required,max=128"`
	Current string `json:"current" validate:"required,max=256"`
	New     string `json:"new" validate:"required,min=8,max=256"`
}

// Redact leaves out the passwords.
func (r SetPasswordRequest) Redact() any {
	r.Current, r.New = "", ""
	return r
}

// SetRolesRequest says all the roles that a user has from now on; none make a customer.
type SetRolesRequest struct {
	ID    string      `json:"id" validate:"required,max=128"`
	Roles []auth.Role `json:"roles" validate:"required,max=2,unique,dive,oneof=operator admin"`
}
