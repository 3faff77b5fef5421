package live_test

import (
	"net/http"
	"testing"
	"time"

	"sluice/services/gateway/live"
)

func TestWhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	w.note(t, "hers", "alice")
	w.note(t, "his", "bob")
	everybody := []string{"", "wrong", "alice", "bob", "operator", "admin", "service"}
	for name, test := range map[string]struct {
		subjects []string
		want     map[string]int // by token; 200 for those it does not name
	}{
		"everything":        {[]string{"note.*.*"}, map[string]int{"alice": 403, "bob": 403}},
		"one kind of all":   {[]string{"note.written.*"}, map[string]int{"alice": 403, "bob": 403}},
		"hers":              {[]string{"note.*.hers"}, map[string]int{"bob": 403}},
		"his":               {[]string{"note.changed.his"}, map[string]int{"alice": 403}},
		"hers and his":      {[]string{"note.*.hers", "note.*.his"}, map[string]int{"alice": 403, "bob": 403}},
		"hers and all":      {[]string{"note.*.hers", "note.*.*"}, map[string]int{"alice": 403, "bob": 403}},
		"nobody's":          {[]string{"note.*.nothing"}, map[string]int{"alice": 403, "bob": 403}},
		"without a service": {[]string{"task.*.t"}, map[string]int{"alice": 403, "bob": 403}},
		"hers and a task":   {[]string{"note.*.hers", "task.*.t"}, map[string]int{"alice": 403, "bob": 403}},
	} {
		for _, token := range everybody {
			t.Run(name+" as "+token, func(t *testing.T) {
				t.Parallel()
				want, ok := test.want[token]
				switch {
				case token == "" || token == "wrong":
					want = http.StatusUnauthorized
				case !ok:
					want = http.StatusOK
				}
				c := w.client(token, test.subjects...)
				if want == http.StatusOK {
					c.open(t).close()
					return
				}
				if r := c.refusal(t); r.status != want {
					t.Errorf("got %v, want %d", r, want)
				}
			})
		}
	}
}

func TestACustomerSeesHerOwnAndNothingElse(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	first := w.note(t, "hers", "alice")
	w.note(t, "his", "bob")
	c := w.client("alice", "note.*.hers")
	c.last = "NOTES=0"
	s := c.open(t)
	s.expect(t, first)
	w.change(t, "his", "secret")
	s.expect(t, w.change(t, "hers", "x"))
}

func TestNothingIsSentAfterTheTokenHasExpired(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{})
	w.note(t, "hers", "alice")
	c := w.client("alice", "note.*.hers")
	s := c.open(t)
	s.expect(t, w.change(t, "hers", "x"))
	w.tokens.revoke("alice")
	w.change(t, "hers", "y")
	s.end(t, "token")
	if r := c.refusal(t); r.status != http.StatusUnauthorized {
		t.Errorf("back again: %v", r)
	}
}

func TestASilentStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{Heartbeat: 20 * time.Millisecond})
	s := w.client("operator", "note.*.*").open(t)
	s.comment(t, "heartbeat")
	w.tokens.revoke("operator")
	s.end(t, "token")
}

func TestWhenNobodyCanSayWhoMaySee(t *testing.T) {
	t.Parallel()
	w := start(t, live.Config{Timeout: 200 * time.Millisecond})
	w.note(t, "hers", "alice")
	w.nats.Stop()
	for _, token := range []string{"alice", "operator"} {
		if r := w.client(token, "note.*.hers").refusal(t); r.status != http.StatusServiceUnavailable && r.status != http.StatusGatewayTimeout {
			t.Errorf("%s: %v", token, r)
		}
	}
}
