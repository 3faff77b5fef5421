package rpc_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"sluice/pkg/auth"
	"sluice/services/gateway/rpc"
	userv1 "sluice/services/gateway/rpc/gen/sluice/user/v1"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
	"sluice/services/user/userapi"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	born := time.Date(2026, 11, 23, 5, 6, 7, 890, time.UTC)
	zoe := userapi.User{ID: "u-zoe", Username: "Zoë", Email: "zoe@example.com", CreatedAt: born, Version: 3, Roles: []auth.Role{auth.Operator, auth.Admin}}
	zoeOut := &userv1.User{Id: "u-zoe", Username: "Zoë", Email: "zoe@example.com", CreatedAt: timestamppb.New(born), Version: 3, Roles: []string{"operator", "admin"}}
	blank, blankOut := userapi.User{ID: "u-blank"}, &userv1.User{Id: "u-blank"}

	w := start(t, rpc.Config{})
	w.serve(t, "user",
		answers(t, userapi.Create, userapi.CreateRequest{Username: "Zoë", Email: "zoe@example.com", Password: "correct horse"}, zoe),
		answers(t, userapi.Get, userapi.GetRequest{ID: "u-zoe"}, zoe),
		answers(t, userapi.List, userapi.ListRequest{Limit: 2, Cursor: "c-1"}, userapi.ListResponse{Items: []userapi.User{zoe, blank}, Next: "c-2"}),
		answers(t, userapi.Update, userapi.UpdateRequest{ID: "u-zoe", Username: "Zoë", Email: "zoe@example.org"}, zoe),
		answers(t, userapi.Erase, userapi.EraseRequest{ID: "u-zoe"}, userapi.EraseResponse{ID: "u-zoe", Version: 4}))

	w.ask(t, "", userv1connect.UserServiceCreateProcedure,
		&userv1.CreateRequest{Username: "Zoë", Email: "zoe@example.com", Password: "correct horse"}, &userv1.CreateResponse{User: zoeOut})
	w.ask(t, ada, userv1connect.UserServiceGetProcedure, &userv1.GetRequest{Id: "u-zoe"}, &userv1.GetResponse{User: zoeOut})
	w.ask(t, olga, userv1connect.UserServiceListProcedure,
		&userv1.ListRequest{Limit: 2, Cursor: "c-1"}, &userv1.ListResponse{Items: []*userv1.User{zoeOut, blankOut}, Next: "c-2"})
	w.ask(t, ada, userv1connect.UserServiceUpdateProcedure,
		&userv1.UpdateRequest{Id: "u-zoe", Username: "Zoë", Email: "zoe@example.org"}, &userv1.UpdateResponse{User: zoeOut})
	w.ask(t, ada, userv1connect.UserServiceEraseProcedure, &userv1.EraseRequest{Id: "u-zoe"}, &userv1.EraseResponse{Id: "u-zoe", Version: 4})
}
