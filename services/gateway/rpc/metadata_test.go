package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/telemetry"
	"sluice/services/gateway/rpc"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	"sluice/services/order/orderapi"
)

// carried is what a service sees of a call beside its message.
type carried struct {
	correlation, trace string
	keyed              bool
	command            string
	expected           uint64
	isExpected         bool
	waits              string
}

func see(ctx context.Context) carried {
	md := event.MetadataFrom(ctx)
	c := carried{correlation: md.CorrelationID, trace: telemetry.TraceID(ctx), keyed: md.Keyed, command: md.CausationID}
	c.expected, c.isExpected = endpoint.Expected(ctx)
	for _, p := range endpoint.Waits(ctx) {
		c.waits += p.String() + ";"
	}
	return c
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	in, _ := sample(t)
	seen := make(chan carried, 1)
	w := start(t, rpc.Config{})
	w.serve(t, "order",
		endpoint.Handle(orderapi.Cancel, func(ctx context.Context, _ orderapi.TransitionRequest) (orderapi.Order, error) {
			seen <- see(ctx)
			endpoint.Wrote(ctx, "ORDERS", 42)
			return in, nil
		}),
		endpoint.Handle(orderapi.Get, func(ctx context.Context, _ orderapi.GetRequest) (orderapi.Order, error) {
			seen <- see(ctx)
			return in, nil
		}))
	conn := w.dial(t)
	cancel := func(pairs ...string) (metadata.MD, error) {
		var header metadata.MD
		err := conn.Invoke(as(t, ada, pairs...), orderv1connect.OrderServiceCancelProcedure,
			&orderv1.CancelRequest{Id: "o-1"}, &orderv1.CancelResponse{}, grpc.Header(&header))
		return header, err
	}
	get := func(pairs ...string) (metadata.MD, error) {
		var header metadata.MD
		err := conn.Invoke(as(t, ada, pairs...), orderv1connect.OrderServiceGetProcedure,
			&orderv1.GetRequest{Id: "o-1"}, &orderv1.GetResponse{}, grpc.Header(&header))
		return header, err
	}

	const trace = "0af7651916cd43dd8448eb211c80319c"
	header, err := cancel("sluice-correlation-id", "c-1", "traceparent", "00-"+trace+"-b7ad6b7169203331-01",
		"idempotency-key", "k-1", "if-match", `"7"`)
	got := <-seen
	if err != nil || got.correlation != "c-1" || got.trace != trace || !got.keyed || got.expected != 7 || !got.isExpected {
		t.Errorf("the service saw %+v: %v", got, err)
	}
	if position := header.Get("sluice-position"); len(position) != 1 || position[0] != "ORDERS=42" {
		t.Errorf("the position of the write is %v", position)
	}
	if correlation := header.Get("sluice-correlation-id"); len(correlation) != 1 || correlation[0] != "c-1" {
		t.Errorf("the correlation id is %v", correlation)
	}
	if _, err := cancel("idempotency-key", "k-1"); err != nil {
		t.Fatal(err)
	}
	if repeat := <-seen; repeat.command != got.command || repeat.isExpected || repeat.correlation == "" {
		t.Errorf("the repeat is seen as %+v, the first as %+v", repeat, got)
	}
	if _, err := cancel(); err != nil {
		t.Fatal(err)
	}
	if other := <-seen; other.keyed || other.command == got.command {
		t.Errorf("another command is seen as %+v", other)
	}

	// A query waits for positions; a key and a version mean nothing to it.
	header, err = get("sluice-position", "ORDERS=42,USERS=7", "idempotency-key", "k-1", "if-match", `"7"`)
	got = <-seen
	if err != nil || got.waits != "ORDERS=42;USERS=7;" || got.keyed || got.isExpected || len(header.Get("sluice-position")) > 0 {
		t.Errorf("the query was seen as %+v: %v, %v", got, header, err)
	}
}

func TestMetadataThatIsNone(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{})
	w.serve(t, "order", endpoint.Handle(orderapi.Cancel, func(context.Context, orderapi.TransitionRequest) (orderapi.Order, error) {
		t.Error("the service was asked")
		return orderapi.Order{}, nil
	}))
	conn := w.dial(t)
	const match = `must be one version like "5", with the quotes`
	for _, c := range []struct {
		pairs []string
		field string
	}{
		{[]string{"if-match", "7"}, "if-match: " + match},
		{[]string{"if-match", "*"}, "if-match: " + match},
		{[]string{"if-match", `W/"7"`}, "if-match: " + match},
		{[]string{"if-match", `"0"`}, "if-match: " + match},
		{[]string{"if-match", `"7", "8"`}, "if-match: " + match},
		{[]string{"if-match", `"7"`, "if-match", `"8"`}, "if-match: " + match},
		{[]string{"if-match", `"99999999999999999999"`}, "if-match: " + match},
		{[]string{"idempotency-key", "a", "idempotency-key", "b"}, "Idempotency-Key: is there twice"},
		{[]string{"sluice-position", "everything"}, "Sluice-Position: must be like ORDERS=1234"},
	} {
		err := conn.Invoke(as(t, ada, c.pairs...), orderv1connect.OrderServiceCancelProcedure, &orderv1.CancelRequest{Id: "o-1"}, &orderv1.CancelResponse{})
		if fields, _ := details(t, err); status.Code(err) != codes.InvalidArgument || fields != c.field {
			t.Errorf("%v: %v with %q", c.pairs, err, fields)
		}
	}
}
