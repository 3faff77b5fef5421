package main

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// grpcEcho is what protoc-gen-go-grpc would write for a service with one method.
const grpcEcho = "/sluice.bench.Bench/Echo"

type grpcService interface {
	echo(ctx context.Context, n *Note) *Note
}

var grpcServiceDesc = grpc.ServiceDesc{
	ServiceName: "sluice.bench.Bench", HandlerType: (*grpcService)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: grpcHandler}},
}

func grpcHandler(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // context-as-argument: it is grpc.MethodHandler
	var in Note
	if err := decode(&in); err != nil {
		return nil, err
	}
	service, ok := srv.(grpcService)
	if !ok {
		return nil, errors.New("the service does not echo")
	}
	return service.echo(ctx, &in), nil
}

// repeater makes of each message the noted that a handler works with, and a message
// again, as the other sides do.
type repeater struct{}

func (repeater) echo(_ context.Context, n *Note) *Note { return newNote(n.noted()) }

func newNote(n noted) *Note {
	return &Note{OrderId: n.OrderID, UserId: n.UserID, Amount: int64(n.Amount), Note: n.Note, Timestamp: timestamppb.New(n.Time)}
}

func (n *Note) noted() noted {
	return noted{OrderID: n.GetOrderId(), UserID: n.GetUserId(), Amount: int(n.GetAmount()), Note: n.GetNote(), Time: n.GetTimestamp().AsTime()}
}

// grpcCaller serves and calls over loopback, on one connection, in protocol buffers.
func grpcCaller(ctx context.Context, r *rig) (writer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpcServiceDesc, repeater{})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	r.closers = append(r.closers, func() error {
		server.Stop()
		return <-ended
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, conn.Close)
	sent := fact()
	return func(ctx context.Context, _ int) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // the others have one too
		defer cancel()
		var got Note
		if err := conn.Invoke(ctx, grpcEcho, newNote(sent), &got); err != nil {
			return err
		}
		return echoed(sent, got.noted())
	}, nil
}
