//go:build stack

package stack_test

import (
	"fmt"
	"net/http"
	"testing"

	"sluice/test/ledger"
	"sluice/test/program"
)

// checkSessions holds that the latest users can log in and go on, with each token once.
func (w *world) checkSessions(t *testing.T, users []ledger.Event) {
	t.Helper()
	const few = 3
	anybody := w.load.api.As("")
	for _, u := range users[max(0, len(users)-few):] {
		first := w.session(t, anybody, http.StatusCreated, map[string]any{"login": u.Text("email"), "password": ledger.Password})
		second := w.session(t, anybody, http.StatusCreated, map[string]any{"refresh_token": first})
		third := w.session(t, anybody, http.StatusCreated, map[string]any{"refresh_token": second})
		w.session(t, anybody, http.StatusUnauthorized, map[string]any{"refresh_token": first}) // stolen: it ends
		w.session(t, anybody, http.StatusUnauthorized, map[string]any{"refresh_token": third})
	}
}

// session logs in and returns the refresh token.
func (w *world) session(t *testing.T, anybody program.Client, status int, body map[string]any) string {
	t.Helper()
	a := anybody.Do(t, http.MethodPost, "/v1/sessions", body).Want(t, status)
	if status != http.StatusCreated {
		return ""
	}
	var s struct {
		Refresh string `json:"refresh_token"`
	}
	a.Into(t, status, &s)
	return s.Refresh
}

// checkSearch holds that each instance of the order service finds exactly the orders of the
// history. Requests go to any of them, so it asks several times.
func (w *world) checkSearch(t *testing.T, orders []ledger.Event) {
	t.Helper()
	const times = 4
	want := make(map[string]string)
	for _, e := range orders {
		status := e.Kind[len("order."):]
		if status == "created" {
			status = "pending"
		}
		want[e.ID] = fmt.Sprint(status, " ", e.Version)
	}
	position := fmt.Sprint("ORDERS=", orders[len(orders)-1].Sequence)
	for range times {
		got := make(map[string]string)
		for cursor := ""; ; {
			var page struct {
				Items []struct {
					ID      string `json:"id"`
					Status  string `json:"status"`
					Version uint64 `json:"version"`
				} `json:"items"`
				Next string `json:"next"`
			}
			w.load.api.Get(t, "/v1/orders?limit=1000&cursor="+cursor, &page, "Sluice-Position", position)
			for _, o := range page.Items {
				if _, twice := got[o.ID]; twice {
					t.Errorf("order %s is found twice", o.ID)
				}
				got[o.ID] = fmt.Sprint(o.Status, " ", o.Version)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		for id, is := range want {
			if got[id] != is {
				t.Errorf("order %s is found as %q, not %q", id, got[id], is)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d orders are found, not %d", len(got), len(want))
		}
	}
}
