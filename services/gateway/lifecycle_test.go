package gateway_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/gateway"
)

func TestStopAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	const n = 200
	entered, release := make(chan struct{}, n), make(chan struct{})
	w := start(t, gateway.Config{}, func(ctx context.Context, r noteRequest) (note, error) {
		entered <- struct{}{}
		<-release
		return echo(ctx, r)
	})
	type result struct {
		status int
		err    error
	}
	results := make(chan result, n)
	for range n {
		go func() {
			a, err := w.try(t.Context(), "GET", "/v1/notes/7", "")
			results <- result{a.status, err}
		}()
	}
	for range n {
		<-entered
	}
	idle, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.gateway.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = idle.Close() })

	stopped := make(chan error, 1)
	go func() { stopped <- w.gateway.Stop(t.Context()) }()
	awaitRefused(t, w.gateway.Addr())
	close(release)
	for range n {
		if r := <-results; r.err != nil || r.status != http.StatusOK {
			t.Errorf("in flight at Stop: status %d, %v", r.status, r.err)
		}
	}
	begin := time.Now()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if waited := time.Since(begin); waited > 3*time.Second {
		t.Errorf("Stop waited %v for an unused connection", waited)
	}
	if err := w.gateway.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

// awaitRefused waits until nobody listens on addr.
func awaitRefused(t *testing.T, addr string) {
	t.Helper()
	for {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	w := start(t, gateway.Config{}, func(ctx context.Context, r noteRequest) (note, error) {
		close(entered)
		<-release
		return echo(ctx, r)
	})
	defer close(release)
	failed := make(chan error, 1)
	go func() {
		_, err := w.try(t.Context(), "GET", "/v1/notes/7", "")
		failed <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.gateway.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop = %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

func TestTakenPortIsOneClearError(t *testing.T) {
	t.Parallel()
	w := start(t, gateway.Config{}, echo)
	second := gateway.New(gateway.Config{Addr: w.gateway.Addr()})
	err := second.Start(t.Context())
	if want := "listen on " + w.gateway.Addr() + ": address already in use"; err == nil || err.Error() != want {
		t.Errorf("Start = %v, want %s", err, want)
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTimeoutAndClientGone(t *testing.T) {
	t.Parallel()
	entered, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	w := start(t, gateway.Config{Settings: gateway.Settings{Timeout: 100 * time.Millisecond}}, func(ctx context.Context, _ noteRequest) (note, error) {
		entered <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return note{}, ctx.Err()
	})
	a := w.do(t, "GET", "/v1/notes/7", "")
	if p := a.problem(t); a.status != 504 || p.Code != endpoint.CodeDeadline {
		t.Errorf("%d %s", a.status, a.body)
	}
	<-entered
	<-ended

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if _, err := w.try(ctx, "GET", "/v1/notes/7", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	awaitLog(t, w.logs, `"status":499`)
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	unhurried := hasty
	unhurried.Interval = time.Hour
	w := startOn(t, natstest.Start(t), gateway.Config{}, unhurried, echo)
	if a := w.do(t, "GET", "/readyz", ""); a.status != 200 || a.body != `{"status":"ok"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := w.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := w.do(t, "GET", "/readyz", "")
	p := a.problem(t)
	if a.status != 503 || len(p.Fields) != 1 || p.Fields[0] != (endpoint.FieldError{Field: "note", Message: "nobody serves svc.note.health"}) {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = w.do(t, "GET", "/v1/notes/7", "")
	if p := a.problem(t); a.status != 503 || p.Detail != "nobody serves svc.note.get" {
		t.Errorf("%d %s", a.status, a.body)
	}

	w.srv.Stop()
	<-w.gone
	a = w.do(t, "GET", "/v1/notes/7", "")
	if p := a.problem(t); a.status != 503 || p.Detail != "NATS is unreachable" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do(t, "GET", "/healthz", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = w.do(t, "GET", "/readyz", "")
	if p := a.problem(t); a.status != 503 || p.Fields[0].Message != "NATS is unreachable" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestOneMoreConditionForReadiness(t *testing.T) {
	t.Parallel()
	w := start(t, gateway.Config{Ready: func(context.Context) error { return errors.New("s3cret") }}, echo)
	a := w.do(t, "GET", "/readyz", "")
	if p := a.problem(t); a.status != 503 || len(p.Fields) != 1 || p.Fields[0].Field != "gateway" || strings.Contains(a.body, "s3cret") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// awaitLog waits for a line that is written after the answer is sent.
func awaitLog(t testing.TB, l *logs, text string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if strings.Contains(l.String(), text) {
			return
		}
		<-tick.C
	}
	t.Fatalf("no %s in the log: %s", text, l)
}
