package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
	userv1 "sluice/services/gateway/rpc/gen/sluice/user/v1"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
	"sluice/services/user/userapi"
)

// The client's deadline goes along: the service's work ends with it.
func TestDeadline(t *testing.T) {
	t.Parallel()
	done := make(chan time.Duration, 1)
	w := start(t, rpc.Config{})
	w.serve(t, "user", endpoint.Handle(userapi.Get, func(ctx context.Context, _ userapi.GetRequest) (userapi.User, error) {
		deadline, _ := ctx.Deadline()
		left := time.Until(deadline)
		<-ctx.Done()
		done <- left
		return userapi.User{}, ctx.Err()
	}))
	const given = 400 * time.Millisecond
	ctx, cancel := context.WithTimeout(as(t, ada), given)
	defer cancel()
	err := w.dial(t).Invoke(ctx, userv1connect.UserServiceGetProcedure, &userv1.GetRequest{Id: "u"}, &userv1.GetResponse{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the call ends with %v", err)
	}
	if left := <-done; left <= 0 || left > given {
		t.Errorf("the work had %v", left)
	}
}

// A client that goes away ends the service's work.
func TestCancel(t *testing.T) {
	t.Parallel()
	begun, done := make(chan struct{}), make(chan error, 1)
	w := start(t, rpc.Config{})
	w.serve(t, "user", endpoint.Handle(userapi.Get, func(ctx context.Context, _ userapi.GetRequest) (userapi.User, error) {
		close(begun)
		<-ctx.Done()
		done <- ctx.Err()
		return userapi.User{}, ctx.Err()
	}))
	ctx, cancel := context.WithCancel(as(t, ada))
	go func() {
		<-begun
		cancel()
	}()
	err := w.dial(t).Invoke(ctx, userv1connect.UserServiceGetProcedure, &userv1.GetRequest{Id: "u"}, &userv1.GetResponse{})
	if status.Code(err) != codes.Canceled {
		t.Errorf("the call ends with %v", err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the work ended with %v", err)
	}
	for start := time.Now(); !strings.Contains(w.log.String(), "Get code=canceled"); {
		if time.Since(start) > patience {
			t.Fatalf("the log has no call that was cancelled:\n%s", w.log)
		}
		runtime.Gosched()
	}
}

// A message is refused when it is larger than NATS takes, whatever it was compressed to.
func TestMessagesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{})
	large := &userv1.CreateRequest{Username: strings.Repeat("a", 1<<20)}
	err := w.dial(t).Invoke(as(t, ""), userv1connect.UserServiceCreateProcedure, large, &userv1.CreateResponse{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("1 MiB: %v", err)
	}
	message, err := proto.Marshal(&userv1.CreateRequest{Username: strings.Repeat("a", 8<<20)})
	if err != nil {
		t.Fatal(err)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(message)
	z.Close()
	frame := binary.BigEndian.AppendUint32([]byte{1}, uint32(bomb.Len()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.addr+userv1connect.UserServiceCreateProcedure,
		bytes.NewReader(append(frame, bomb.Bytes()...)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc-web+proto")
	req.Header.Set("Grpc-Encoding", "gzip")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Grpc-Message"); res.Header.Get("Grpc-Status") != "8" || got != "message size 1048577 is larger than configured max 1048576" {
		t.Errorf("a bomb of %d bytes: %v", bomb.Len(), res.Header)
	}
}

// A client that sends its message drop by drop does not hold on to the gateway.
func TestMessagesThatNeverEnd(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{Timeout: 50 * time.Millisecond})
	for _, c := range []struct {
		version     int
		path, media string
	}{
		{1, userv1connect.UserServiceCreateProcedure, "application/json"},
		{2, userv1connect.UserServiceCreateProcedure, "application/grpc"},
		{1, "/grpc.health.v1.Health/Watch", "application/grpc-web"},
		{2, "/grpc.health.v1.Health/Watch", "application/grpc"},
	} {
		t.Run(fmt.Sprintf("HTTP %d %s", c.version, c.path), func(t *testing.T) {
			t.Parallel()
			read, write := io.Pipe()
			defer write.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.addr+c.path, read)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.media)
			go io.WriteString(write, "\x00")
			res, err := client(t, c.version).Do(req)
			if err == nil {
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it goes on for ever: %v", err)
			}
		})
	}
}
