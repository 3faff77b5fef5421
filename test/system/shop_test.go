package system_test

import (
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/test/program"
)

// user and order are what the API shows of these, as far as tests look.
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

// read decodes the body of an answer.
func read[T any](t *testing.T, a program.Answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Errorf("body %q: %v", a.Body, err)
	}
	return v
}
