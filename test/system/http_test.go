package system_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// answer is a complete HTTP response.
type answer struct {
	status   int
	position string // what the request wrote, as Sluice-Position has it
	body     []byte
}

// user, order and problem are what the API shows of these, as far as tests look.
type user struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Version  uint64 `json:"version"`
}

type order struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Version uint64 `json:"version"`
}

type problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Fields []struct {
		Field string `json:"field"`
	} `json:"fields"`
}

// read decodes the body of an answer.
func read[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Errorf("body %q: %v", a.body, err)
	}
	return v
}

// headers are those of a request, by name.
type headers map[string]string

const (
	positionHeader = "Sluice-Position"
	keyHeader      = "Idempotency-Key"
	requestTimeout = 15 * time.Second // longer than the gateway takes
)

// send makes one request; body nil is none. An error means that there is no
// complete answer.
func send(ctx context.Context, client *http.Client, method, url string, body any, h headers) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, fmt.Errorf("encode the body: %w", err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range h {
		req.Header.Set(name, value)
	}
	return complete(client.Do(req))
}

func complete(res *http.Response, err error) (answer, error) {
	if err != nil {
		return answer{}, fmt.Errorf("send: %w", err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return answer{status: res.StatusCode, position: res.Header.Get(positionHeader), body: got}, nil
}

// must makes one request that has to be answered with this status.
func must(t *testing.T, status int, method, url string, body any, h headers) answer {
	t.Helper()
	a, err := send(t.Context(), http.DefaultClient, method, url, body, h)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if a.status != status {
		t.Fatalf("%s %s: status %d, not %d: %s", method, url, a.status, status, a.body)
	}
	return a
}

// registration is the body that makes a user whom no other test makes.
func registration(name string) map[string]any {
	return map[string]any{"username": name, "email": name + "@example.com", "password": "correct horse battery"}
}

// purchase is the body of an order of two pieces of a product, for 39.98 EUR.
func purchase(userID, product string) map[string]any {
	return map[string]any{"user_id": userID, "items": []any{map[string]any{
		"product_id": product, "quantity": 2, "price": map[string]any{"number": "19.99", "currency": "EUR"},
	}}}
}
