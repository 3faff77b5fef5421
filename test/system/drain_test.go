package system_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/endpoint"
	"sluice/test/program"
)

// heldBody is a request's body that is sent when release is closed.
type heldBody struct {
	release <-chan struct{}
	content *bytes.Reader
}

func (b heldBody) Read(p []byte) (int, error) {
	<-b.release
	return b.content.Read(p)
}

// inFlight is one request that the process is working on when it is told to stop.
type inFlight struct {
	command command
	path    string
	body    map[string]any
	key     string
}

// do sends the request in two parts: the head at once, and the body when release is
// closed. It reports on accepted when the process has begun to read the body.
func (f inFlight) do(ctx context.Context, api program.Client, accepted chan<- struct{}, release <-chan struct{}) (program.Answer, error) {
	content, err := json.Marshal(f.body)
	if err != nil {
		return program.Answer{}, err
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() { accepted <- struct{}{} }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api.URL+f.path, io.NopCloser(heldBody{release, bytes.NewReader(content)}))
	if err != nil {
		return program.Answer{}, err
	}
	req.ContentLength = int64(len(content))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Expect", "100-continue")
	if f.key != "" {
		req.Header.Set(endpoint.HeaderIdempotencyKey, f.key)
	}
	return api.Send(req)
}

// requestsInFlight are n requests of all kinds: users, whose passwords take a while,
// and orders, with and without a key.
func requestsInFlight(n int, userID string) []inFlight {
	all := make([]inFlight, n)
	for i := range all {
		tag := fmt.Sprint("flight-", i)
		f := inFlight{command: command{kind: "order.created", tag: tag}, path: "/v1/orders", body: purchase(userID, tag)}
		if i%10 == 0 {
			f = inFlight{command: command{kind: "user.created", tag: tag + "@example.com"}, path: "/v1/users", body: registration(tag)}
		}
		if i%2 == 0 {
			f.key = tag
		}
		all[i] = f
	}
	return all
}

// SIGTERM with 200 requests in flight: half of them are being carried out, of the
// other half the bodies come when nobody can connect any more. All are answered, and
// what was answered is there after the next start.
func TestStoppedWithRequestsInFlight(t *testing.T) {
	t.Parallel()
	const n, drainTime = 200, 20 * time.Second
	data := t.TempDir()
	p := binary.Start(t, nil, "--data", data)
	api := p.Client(t)
	userID := read[user](t, api.Do(t, http.MethodPost, "/v1/users", registration("ada")).Want(t, http.StatusCreated)).ID

	ctx, cancel := context.WithTimeout(t.Context(), 2*program.Patience)
	defer cancel()
	transport := &http.Transport{ExpectContinueTimeout: program.Patience}
	defer transport.CloseIdleConnections()
	patient := api
	patient.HTTP = &http.Client{Transport: transport}
	requests := requestsInFlight(n, userID)
	answers, errs := make([]program.Answer, n), make([]error, n)
	accepted := make(chan struct{}, n)
	early, late := make(chan struct{}), make(chan struct{})
	openLate := sync.OnceFunc(func() { close(late) })
	defer openLate()
	var waiting sync.WaitGroup
	for i, f := range requests {
		release := early
		if i%4 >= 2 {
			release = late
		}
		waiting.Go(func() { answers[i], errs[i] = f.do(ctx, patient, accepted, release) })
	}
	for i := range n {
		select {
		case <-accepted:
		case <-ctx.Done():
			close(early)
			t.Fatalf("%d of %d requests were accepted", i, n)
		}
	}
	passing := passersBy(ctx, t, api, userID)
	close(early)
	told := time.Now()
	p.Signal(t, syscall.SIGTERM)
	awaitRefusal(ctx, t, api.URL)
	refusing := time.Since(told)
	openLate()
	waiting.Wait()
	answered := time.Since(told)
	if code := p.ExitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	took := time.Since(told)
	t.Logf("after SIGTERM: no new connections at %s, %d requests answered at %s, gone at %s", refusing, n, answered, took)
	if took > drainTime {
		t.Errorf("it took %s", took)
	}
	if err := p.Errors(); err != nil {
		t.Error(err)
	}

	commands := append(passing(), command{kind: "user.created", tag: "ada@example.com", outcome: done, id: userID, version: 1})
	for i, f := range requests {
		if errs[i] != nil || answers[i].Status != http.StatusCreated {
			t.Errorf("POST %s %s: status %d %s, %v", f.path, f.command.tag, answers[i].Status, answers[i].Body, errs[i])
			commands = append(commands, f.command)
			continue
		}
		got := read[order](t, answers[i])
		f.command.outcome, f.command.id, f.command.version = done, got.ID, got.Version
		commands = append(commands, f.command)
	}
	again := binary.Start(t, nil, "--data", data)
	checkEverything(ctx, t, again, data, commands)
	again.Stop(t)
}

// passersBy place orders one after another, each on a connection of its own, until
// nobody takes connections any more. What is taken is answered in full; a connection
// that the process has not got to may end without an answer.
func passersBy(ctx context.Context, t *testing.T, api program.Client, userID string) (result func() []command) {
	t.Helper()
	const clients = 4
	all := make([][]command, clients)
	begun := make(chan struct{}, clients)
	var working sync.WaitGroup
	t.Cleanup(working.Wait)
	for i := range clients {
		working.Go(func() {
			api := api
			api.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for n := 0; ; n++ {
				c := command{kind: "order.created", tag: fmt.Sprintf("passing-%d-%d", i, n)}
				a, err := api.Try(ctx, http.MethodPost, "/v1/orders", purchase(userID, c.tag))
				if err == nil && a.Status != http.StatusCreated {
					t.Errorf("POST /v1/orders %s: status %d: %s", c.tag, a.Status, a.Body)
				}
				if err == nil && a.Status == http.StatusCreated {
					got := read[order](t, a)
					c.outcome, c.id, c.version = done, got.ID, got.Version
				}
				all[i] = append(all[i], c)
				if n == 0 {
					begun <- struct{}{}
				}
				if err != nil {
					return
				}
			}
		})
	}
	for range clients {
		<-begun
	}
	return func() []command {
		working.Wait()
		var commands []command
		for _, c := range all {
			commands = append(commands, c...)
		}
		return commands
	}
}

// awaitRefusal returns once nobody takes connections at url.
func awaitRefusal(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil && ctx.Err() == nil {
			return
		}
		if err == nil {
			conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("connections are still taken")
		}
	}
}
