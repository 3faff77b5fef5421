package program

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/endpoint"
)

// Client makes HTTP requests to a gateway.
type Client struct {
	URL   string
	Token string       // sent as bearer; empty sends none
	HTTP  *http.Client // nil is http.DefaultClient
}

// As returns the client of whom a token speaks for; an empty one is nobody's.
func (c Client) As(token string) Client {
	c.Token = token
	return c
}

// At returns the client of another gateway.
func (c Client) At(url string) Client {
	c.URL = url
	return c
}

// Do makes a request that has to be answered. A body that is a string goes out as it
// is, an empty one not at all, and any other value as JSON. header has names before
// values, and replaces what the client would send by itself.
func (c Client) Do(t testing.TB, method, path string, body any, header ...string) Answer {
	t.Helper()
	a, err := c.Try(t.Context(), method, path, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Try is Do with an error when there is no complete answer.
func (c Client) Try(ctx context.Context, method, path string, body any, header ...string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	content, err := encode(body)
	if err != nil {
		return Answer{}, fmt.Errorf("encode the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(content))
	if err != nil {
		return Answer{}, fmt.Errorf("make the request: %w", err)
	}
	if len(content) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Del(pair[0])
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	return c.Send(req)
}

// Send makes a request with the client's token, unless that has an Authorization.
func (c Client) Send(req *http.Request) (Answer, error) {
	if _, set := req.Header["Authorization"]; !set && c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("send: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: string(got)}, nil
}

func encode(body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(b), nil
	default:
		return json.Marshal(b)
	}
}

// Get reads a 200 into v.
func (c Client) Get(t testing.TB, path string, v any, header ...string) {
	t.Helper()
	c.Do(t, http.MethodGet, path, nil, header...).Into(t, http.StatusOK, v)
}

// Eventually makes a request again and again until it is answered with this status.
func (c Client) Eventually(t testing.TB, status int, method, path string, body any, header ...string) Answer {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := c.Try(t.Context(), method, path, body, header...)
		if err == nil && a.Status == status {
			return a
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s %s: status %d, not %d: %s %v", method, path, a.Status, status, a.Body, err)
		}
	}
}

// Answer is a complete HTTP response.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Position returns what the request wrote, as a later request may send it back.
func (a Answer) Position() string { return a.Header.Get(endpoint.HeaderPosition) }

// Want fails the test when the answer has another status, and returns it.
func (a Answer) Want(t testing.TB, status int) Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, not %d: %s", a.Status, status, a.Body)
	}
	return a
}

// Into reads an answer of this status into v.
func (a Answer) Into(t testing.TB, status int, v any) {
	t.Helper()
	if err := json.UnmarshalRead(strings.NewReader(a.Want(t, status).Body), v); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
}
