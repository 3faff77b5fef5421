package rpc_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"sluice/services/gateway/rpc"
)

var served = []string{"sluice.user.v1.UserService", "sluice.order.v1.OrderService", "grpc.health.v1.Health"}

// Reflection lists what there is and describes it whole, so that a client can call it.
func TestReflection(t *testing.T) {
	t.Parallel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(start(t, rpc.Config{}).dial(t)).ServerReflectionInfo(as(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		res, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	var names []string
	list := ask(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
	for _, s := range list.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	if !slices.Equal(names, served) {
		t.Errorf("the services are %v", names)
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, name := range names {
		res := ask(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
		})
		for _, b := range res.GetFileDescriptorResponse().GetFileDescriptorProto() {
			file := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(b, file); err != nil {
				t.Fatal(err)
			}
			set.File = append(set.File, file)
		}
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	for name, methods := range map[string]int{"sluice.user.v1.UserService": 5, "sluice.order.v1.OrderService": 9} {
		d, err := files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := d.(protoreflect.ServiceDescriptor); !ok || s.Methods().Len() != methods {
			t.Errorf("%s is %v", name, d)
		}
	}
}

// Older clients ask for reflection by its old name, with the same messages.
func TestReflectionByItsOldName(t *testing.T) {
	t.Parallel()
	stream, err := start(t, rpc.Config{}).dial(t).NewStream(as(t, ""), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
	if err != nil {
		t.Fatal(err)
	}
	err = stream.SendMsg(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	res := &grpc_reflection_v1.ServerReflectionResponse{}
	if err := stream.RecvMsg(res); err != nil || len(res.GetListServicesResponse().GetService()) != len(served) {
		t.Errorf("%v, %v", res, err)
	}
}
