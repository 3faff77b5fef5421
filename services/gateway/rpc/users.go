package rpc

import (
	"context"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	userv1 "sluice/services/gateway/rpc/gen/sluice/user/v1"
	"sluice/services/user/userapi"
)

// users is the user service as its .proto has it.
type users struct {
	create call[userapi.CreateRequest, userapi.User]
	get    call[userapi.GetRequest, userapi.User]
	list   call[userapi.ListRequest, userapi.ListResponse]
	update call[userapi.UpdateRequest, userapi.User]
	erase  call[userapi.EraseRequest, userapi.EraseResponse]
}

func newUsers(c *endpoint.Caller) users {
	return users{
		create: via(c, userapi.Create), get: via(c, userapi.Get), list: via(c, userapi.List),
		update: via(c, userapi.Update), erase: via(c, userapi.Erase),
	}
}

// Create calls svc.user.create.
func (s users) Create(ctx context.Context, req *userv1.CreateRequest) (*userv1.CreateResponse, error) {
	u, err := s.create(ctx, userapi.CreateRequest{
		Username: req.GetUsername(), Email: req.GetEmail(), Password: req.GetPassword(),
	})
	return &userv1.CreateResponse{User: user(u)}, err
}

// Get calls svc.user.get.
func (s users) Get(ctx context.Context, req *userv1.GetRequest) (*userv1.GetResponse, error) {
	u, err := s.get(ctx, userapi.GetRequest{ID: req.GetId()})
	return &userv1.GetResponse{User: user(u)}, err
}

// List calls svc.user.list.
func (s users) List(ctx context.Context, req *userv1.ListRequest) (*userv1.ListResponse, error) {
	page, err := s.list(ctx, userapi.ListRequest{Limit: int(req.GetLimit()), Cursor: req.GetCursor()})
	return &userv1.ListResponse{Items: each(page.Items, user), Next: page.Next}, err
}

// Update calls svc.user.update.
func (s users) Update(ctx context.Context, req *userv1.UpdateRequest) (*userv1.UpdateResponse, error) {
	u, err := s.update(ctx, userapi.UpdateRequest{ID: req.GetId(), Username: req.GetUsername(), Email: req.GetEmail()})
	return &userv1.UpdateResponse{User: user(u)}, err
}

// Erase calls svc.user.erase.
func (s users) Erase(ctx context.Context, req *userv1.EraseRequest) (*userv1.EraseResponse, error) {
	erased, err := s.erase(ctx, userapi.EraseRequest{ID: req.GetId()})
	return &userv1.EraseResponse{Id: erased.ID, Version: erased.Version}, err
}

func user(u userapi.User) *userv1.User {
	return &userv1.User{
		Id: u.ID, Username: u.Username, Email: u.Email, CreatedAt: timestamp(u.CreatedAt), Version: u.Version,
		Roles: each(u.Roles, func(r auth.Role) string { return string(r) }),
	}
}
