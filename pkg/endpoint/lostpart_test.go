package endpoint_test

import (
	"errors"
	"iter"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

// pretend serves export by hand.
func pretend(t *testing.T, srv *natstest.Server, serve func(nc *nats.Conn, reply string)) {
	t.Helper()
	nc := srv.Connect(t)
	if _, err := nc.Subscribe(export.Subject(), func(m *nats.Msg) { serve(nc, m.Reply) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// numbered sends messages of a stream with these numbers, each with one row.
func numbered(nc *nats.Conn, reply string, numbers ...int) {
	for _, n := range numbers {
		_ = nc.PublishMsg(&nats.Msg{
			Subject: reply, Header: nats.Header{"Sluice-Stream-Sequence": {strconv.Itoa(n)}},
			Data: []byte(`{"n":` + strconv.Itoa(n-1) + "}\n"),
		})
	}
}

func TestLostPartIsAnError(t *testing.T) {
	t.Parallel()
	for name, numbers := range map[string][]int{
		"a gap": {1, 2, 4, 5}, "the first": {2, 3}, "twice": {1, 2, 2, 3}, "the number": {1, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			pretend(t, srv, func(nc *nats.Conn, reply string) { numbered(nc, reply, numbers...) })
			caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})
			n, err := collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{}))
			if !errors.Is(err, endpoint.ErrGap) || endpoint.CodeOf(err) != endpoint.CodeUnavailable || n > 2 {
				t.Errorf("%d rows, then %v", n, err)
			}
		})
	}
}

func TestServiceThatFallsSilentIsNoticed(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	told := make(chan string, 1)
	pretend(t, srv, func(nc *nats.Conn, reply string) { numbered(nc, reply, 1, 2) })
	if _, err := srv.Connect(t).Subscribe("svc.order.requests.cancel", func(m *nats.Msg) { told <- string(m.Data) }); err != nil {
		t.Fatal(err)
	}
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{Timeout: 200 * time.Millisecond})
	n, err := collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{}))
	if n != 2 || endpoint.CodeOf(err) != endpoint.CodeDeadline {
		t.Errorf("%d rows, then %v", n, err)
	}
}

func TestServiceThatDoesNotWaitIsCutOff(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	pretend(t, srv, func(nc *nats.Conn, reply string) {
		for n := range 1000 {
			numbered(nc, reply, n+1)
		}
		_ = nc.Flush()
	})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})
	next, stop := iter.Pull2(endpoint.CallStream(t.Context(), caller, export, exportRequest{}))
	defer stop()
	n := 0
	for {
		_, err, ok := next()
		if !ok {
			t.Fatal("it came whole")
		}
		if err != nil {
			if !errors.Is(err, endpoint.ErrGap) {
				t.Errorf("after %d rows: %v", n, err)
			}
			return
		}
		n++
	}
}

func TestStreamBreaksWithTheConnection(t *testing.T) {
	t.Parallel()
	var yielded atomic.Int64
	ended := make(chan error, 1)
	srv, _ := serveStream(t, endpoint.ServiceConfig{Timeout: 2 * time.Second}, endless(&yielded, ended))
	nc := srv.Connect(t)
	caller := endpoint.NewCaller(nc, endpoint.CallerConfig{})
	broke := false
	for r, err := range endpoint.CallStream(t.Context(), caller, export, exportRequest{}) {
		if r.N == 1000 {
			nc.Close()
		}
		if err != nil {
			broke = true
			if !errors.Is(err, endpoint.ErrUnreachable) {
				t.Errorf("the stream ended with %v", err)
			}
		}
	}
	if !broke {
		t.Error("the stream ended without an error")
	}
	<-ended
}
