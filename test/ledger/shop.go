package ledger

import (
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/test/program"
)

// user and order are what the API shows of these, as far as clients look.
type user struct {
	ID string `json:"id"`
}

type order struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Version uint64 `json:"version"`
}

// read decodes the body of an answer.
func read[T any](t testing.TB, a program.Answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Errorf("body %q: %v", a.Body, err)
	}
	return v
}

// Password is every user's.
const Password = "correct horse battery"

// Registration is the body that makes a user whom no other test makes.
func Registration(name string) map[string]any {
	return map[string]any{"username": name, "email": name + "@example.com", "password": Password}
}

// Purchase is the body of an order of two pieces of a product, for 39.98 EUR.
func Purchase(userID, product string) map[string]any {
	return map[string]any{"user_id": userID, "items": []any{map[string]any{
		"product_id": product, "quantity": 2, "price": map[string]any{"number": "19.99", "currency": "EUR"},
	}}}
}
