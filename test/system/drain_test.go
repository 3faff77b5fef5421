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
	"sluice/test/ledger"
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
	command ledger.Command
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
		f := inFlight{command: ledger.Command{Kind: "order.created", Tag: tag}, path: "/v1/orders", body: ledger.Purchase(userID, tag)}
		if i%10 == 0 {
			f = inFlight{command: ledger.Command{Kind: "user.created", Tag: tag + "@example.com"}, path: "/v1/users", body: ledger.Registration(tag)}
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
	userID := read[user](t, api.Do(t, http.MethodPost, "/v1/users", ledger.Registration("ada")).Want(t, http.StatusCreated)).ID

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

	commands := append(passing(), ledger.Command{Kind: "user.created", Tag: "ada@example.com", Outcome: ledger.Done, ID: userID, Version: 1})
	for i, f := range requests {
		if errs[i] != nil || answers[i].Status != http.StatusCreated {
			t.Errorf("POST %s %s: status %d %s, %v", f.path, f.command.Tag, answers[i].Status, answers[i].Body, errs[i])
			commands = append(commands, f.command)
			continue
		}
		got := read[order](t, answers[i])
		f.command.Outcome, f.command.ID, f.command.Version = ledger.Done, got.ID, got.Version
		commands = append(commands, f.command)
	}
	again := binary.Start(t, nil, "--data", data)
	checkEverything(ctx, t, again, data, commands)
	again.Stop(t)
}

// passersBy place orders one after another, each on a connection of its own, until
// nobody takes connections any more. What is taken is answered in full; a connection
// that the process has not got to may end without an answer.
func passersBy(ctx context.Context, t *testing.T, api program.Client, userID string) (result func() []ledger.Command) {
	t.Helper()
	const clients = 4
	all := make([][]ledger.Command, clients)
	begun := make(chan struct{}, clients)
	var working sync.WaitGroup
	t.Cleanup(working.Wait)
	for i := range clients {
		working.Go(func() {
			api := api
			api.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for n := 0; ; n++ {
				c := ledger.Command{Kind: "order.created", Tag: fmt.Sprintf("passing-%d-%d", i, n)}
				a, err := api.Try(ctx, http.MethodPost, "/v1/orders", ledger.Purchase(userID, c.Tag))
				if err == nil && a.Status != http.StatusCreated {
					t.Errorf("POST /v1/orders %s: status %d: %s", c.Tag, a.Status, a.Body)
				}
				if err == nil && a.Status == http.StatusCreated {
					got := read[order](t, a)
					c.Outcome, c.ID, c.Version = ledger.Done, got.ID, got.Version
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
	return func() []ledger.Command {
		working.Wait()
		var commands []ledger.Command
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
