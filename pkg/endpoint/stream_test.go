package endpoint_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

type exportRequest struct {
	Count int    `json:"count" validate:"min=0"`
	Pad   string `json:"pad,omitempty"`
}

type row struct {
	N   int    `json:"n"`
	Pad string `json:"pad,omitempty"`
}

var export = endpoint.Stream[exportRequest, row]{
	Service: "order", Name: "export", Description: "Export rows.", HTTP: "GET /v1/rows", Auth: endpoint.Public,
}

// rows yields as many as are asked for.
func rows(_ context.Context, r exportRequest) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for n := range r.Count {
			if !yield(row{n, r.Pad}, nil) {
				return
			}
		}
	}
}

type rowsOf = func(context.Context, exportRequest) iter.Seq2[row, error]

// serveStream serves export with h until the test ends.
func serveStream(t *testing.T, cfg endpoint.ServiceConfig, h rowsOf) (*natstest.Server, *endpoint.Caller) {
	t.Helper()
	srv := natstest.Start(t)
	cfg.Name, cfg.Version = "order", "1.0.0"
	server := endpoint.Serve(srv.Connect(t), cfg, endpoint.HandleStream(export, h))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return srv, endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})
}

// collect reads a stream to its end and checks that no row is missing or there twice.
func collect(t *testing.T, stream iter.Seq2[row, error]) (n int, failed error) {
	t.Helper()
	for r, err := range stream {
		if failed != nil {
			t.Fatal("something came after the error")
		}
		if err != nil {
			failed = err
			continue
		}
		if r.N != n {
			t.Fatalf("row %d came after %d rows", r.N, n)
		}
		n++
	}
	return n, failed
}

func TestStreamArrivesWhole(t *testing.T) {
	t.Parallel()
	_, caller := serveStream(t, endpoint.ServiceConfig{}, rows)
	for _, req := range []exportRequest{
		{Count: 0}, {Count: 1}, {Count: 100_000}, {Count: 500, Pad: strings.Repeat("x", 10_000)}, {Count: 3, Pad: strings.Repeat("x", 500_000)},
	} {
		if n, err := collect(t, endpoint.CallStream(t.Context(), caller, export, req)); n != req.Count || err != nil {
			t.Errorf("%d rows of %d: %v", n, req.Count, err)
		}
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	t.Parallel()
	_, caller := serveStream(t, endpoint.ServiceConfig{}, rows)
	type outcome struct {
		n   int
		err error
	}
	outcomes := make(chan outcome)
	for range 10 {
		go func() {
			var o outcome
			for r, err := range endpoint.CallStream(t.Context(), caller, export, exportRequest{Count: 20_000}) {
				if err == nil && r.N != o.n {
					err = errors.New("a row is missing")
				}
				o.n, o.err = o.n+1, err
			}
			outcomes <- o
		}()
	}
	for range 10 {
		if o := <-outcomes; o.n != 20_000 || o.err != nil {
			t.Errorf("%d rows: %v", o.n, o.err)
		}
	}
}

func TestForwardedStreamIsLines(t *testing.T) {
	t.Parallel()
	_, caller := serveStream(t, endpoint.ServiceConfig{}, rows)
	var all bytes.Buffer
	parts := 0
	for lines, err := range caller.ForwardStream(t.Context(), export.Spec(), nil, []byte(`{"count":20000}`)) {
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) > 64<<10 || !bytes.HasSuffix(lines, []byte("}\n")) {
			t.Errorf("a part of %d bytes ends in %q", len(lines), lines[len(lines)-2:])
		}
		parts++
		all.Write(lines)
	}
	if n := bytes.Count(all.Bytes(), []byte("\n")); n != 20_000 || parts > 20 {
		t.Errorf("%d lines in %d parts", n, parts)
	}
}

func TestStreamErrors(t *testing.T) {
	t.Parallel()
	_, caller := serveStream(t, endpoint.ServiceConfig{}, func(ctx context.Context, r exportRequest) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for row := range rows(ctx, r) {
				if !yield(row, nil) {
					return
				}
			}
			if r.Pad == "panic" {
				panic("s3cret")
			}
			endpoint.Wrote(ctx, "ORDERS", 3)
			yield(row{}, endpoint.Conflict("the rest is locked\nfor now", endpoint.FieldError{Field: "n", Message: "is locked"}).After(time.Second))
		}
	})
	n, err := collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{Count: 5_000}))
	e, ok := errors.AsType[*endpoint.Error](err)
	if n != 5_000 || !ok || e.Code != endpoint.CodeConflict || e.Message != "the rest is locked\nfor now" || len(e.Fields) != 1 || e.RetryAfter != time.Second {
		t.Errorf("%d rows, then %#v", n, e)
	}
	n, err = collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{Count: 3, Pad: "panic"}))
	if n != 3 || endpoint.CodeOf(err) != endpoint.CodeInternal || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%d rows, then %v", n, err)
	}
	n, err = collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{Count: -1}))
	if n != 0 || endpoint.CodeOf(err) != endpoint.CodeInvalid || !strings.Contains(err.Error(), "count must be at least 0") {
		t.Errorf("%d rows, then %v", n, err)
	}
	nobody := export
	nobody.Name = "nobody"
	if n, err := collect(t, endpoint.CallStream(t.Context(), caller, nobody, exportRequest{})); n != 0 || !errors.Is(err, endpoint.ErrNoResponders) {
		t.Errorf("%d rows, then %v", n, err)
	}
	huge := exportRequest{Count: 1, Pad: strings.Repeat("x", 900_000)}
	if n, err := collect(t, endpoint.CallStream(t.Context(), caller, export, huge)); n != 1 || endpoint.CodeOf(err) != endpoint.CodeConflict {
		t.Errorf("%d rows, then %v", n, err)
	}
}

func TestStreamIsRefusedLikeACall(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	_, caller := serveStream(t, endpoint.ServiceConfig{Concurrency: 1, Queue: -1}, func(context.Context, exportRequest) iter.Seq2[row, error] {
		return func(func(row, error) bool) {
			close(entered)
			<-release
		}
	})
	first := make(chan error, 1)
	go func() {
		_, err := collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{}))
		first <- err
	}()
	<-entered
	_, err := collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{}))
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok || e.Code != endpoint.CodeUnavailable || e.RetryAfter != time.Second || !errors.Is(err, endpoint.ErrNotTaken) {
		t.Errorf("the one too many got %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// endless yields until it is told to stop, which it reports.
func endless(yielded *atomic.Int64, ended chan<- error) rowsOf {
	return func(ctx context.Context, r exportRequest) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for n := 0; yield(row{n, r.Pad}, nil); n++ {
				yielded.Add(1)
			}
			ended <- context.Cause(ctx)
		}
	}
}

func TestStreamIsAtMostAWindowAhead(t *testing.T) {
	t.Parallel()
	var yielded atomic.Int64
	ended := make(chan error, 1)
	_, caller := serveStream(t, endpoint.ServiceConfig{Timeout: 500 * time.Millisecond}, endless(&yielded, ended))
	next, stop := iter.Pull2(endpoint.CallStream(t.Context(), caller, export, exportRequest{Pad: strings.Repeat("x", 60_000)}))
	defer stop()
	if r, err, ok := next(); !ok || err != nil || r.N != 0 {
		t.Fatal(r, err, ok)
	}
	// Each message holds one row, and nobody reads any more: that ends the handler.
	if err := <-ended; err == nil {
		t.Error("the handler ended without being told")
	}
	if n := yielded.Load(); n > 20 {
		t.Errorf("%d rows were yielded and one was read", n)
	}
	for n := 1; ; n++ {
		r, err, ok := next()
		if !ok {
			t.Fatal("the stream ended without an error")
		}
		if err != nil {
			if endpoint.CodeOf(err) != endpoint.CodeDeadline || n > 20 {
				t.Errorf("after %d rows: %v", n, err)
			}
			return
		}
		if r.N != n {
			t.Fatalf("row %d is the %dth", r.N, n)
		}
	}
}

func TestWhoStopsReadingStopsTheService(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*endpoint.Caller, context.Context, context.CancelFunc) error{
		"breaks": func(c *endpoint.Caller, ctx context.Context, _ context.CancelFunc) error {
			for r, err := range endpoint.CallStream(ctx, c, export, exportRequest{}) {
				if r.N == 10_000 || err != nil {
					return err
				}
			}
			return errors.New("the stream ended")
		},
		"is cancelled": func(c *endpoint.Caller, ctx context.Context, cancel context.CancelFunc) error {
			for r, err := range endpoint.CallStream(ctx, c, export, exportRequest{}) {
				if r.N == 10_000 {
					cancel()
				}
				if errors.Is(err, context.Canceled) {
					return nil
				}
			}
			return errors.New("the stream ended without saying that it was cancelled")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var yielded atomic.Int64
			ended := make(chan error, 1)
			_, caller := serveStream(t, endpoint.ServiceConfig{Timeout: time.Hour}, endless(&yielded, ended))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := read(caller, ctx, cancel); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the handler's context ended with %v", err)
			}
		})
	}
}

func TestWhoGoesAwayStopsTheService(t *testing.T) {
	t.Parallel()
	var yielded atomic.Int64
	ended := make(chan error, 1)
	srv, _ := serveStream(t, endpoint.ServiceConfig{Timeout: 200 * time.Millisecond}, endless(&yielded, ended))
	nc := srv.Connect(t)
	err := nc.PublishMsg(&nats.Msg{
		Subject: export.Subject(), Reply: nc.NewInbox(), Header: nats.Header{"Sluice-Stream-Window": {"4"}}, Data: []byte(`{"count":0}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestStreamThatHasNothingToSayGoesOn(t *testing.T) {
	t.Parallel()
	srv, _ := serveStream(t, endpoint.ServiceConfig{Timeout: 3 * time.Second}, func(ctx context.Context, r exportRequest) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			pause, cancel := context.WithTimeout(ctx, 4*time.Second)
			defer cancel()
			<-pause.Done()
			for row, err := range rows(ctx, r) {
				if !yield(row, err) {
					return
				}
			}
		}
	})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{Timeout: 3 * time.Second})
	if n, err := collect(t, endpoint.CallStream(t.Context(), caller, export, exportRequest{Count: 3})); n != 3 || err != nil {
		t.Errorf("%d rows: %v", n, err)
	}
}

// A row does not wait until its message is full.
func TestRowsOfASlowStreamComeAtOnce(t *testing.T) {
	t.Parallel()
	step := make(chan struct{})
	_, caller := serveStream(t, endpoint.ServiceConfig{}, func(context.Context, exportRequest) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for n := 0; n < 3 && yield(row{N: n}, nil); n++ {
				<-step
			}
		}
	})
	n := 0
	for r, err := range endpoint.CallStream(t.Context(), caller, export, exportRequest{}) {
		if r.N != n || err != nil {
			t.Fatal(r, err)
		}
		n++
		step <- struct{}{}
	}
	if n != 3 {
		t.Errorf("%d rows", n)
	}
}
