package flows_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/services/order/orderapi"
)

// searched makes one search over HTTP that sees what was written at position.
func (s *system) searched(t testing.TB, position string, parameters url.Values) orderapi.ListResponse {
	t.Helper()
	var header []string
	if position != "" {
		header = []string{endpoint.HeaderPosition, position}
	}
	var page orderapi.ListResponse
	s.Get(t, "/v1/orders?"+parameters.Encode(), &page, header...)
	return page
}

func ids(orders []orderapi.Order) string {
	all := make([]string, len(orders))
	for i, o := range orders {
		all[i] = o.ID
	}
	return strings.Join(all, " ")
}

// TestSearchSeesWhatWasJustWritten asks with the position of each write.
func TestSearchSeesWhatWasJustWritten(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	for range 5 {
		created := s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem))
		var o orderapi.Order
		created.Into(t, http.StatusCreated, &o)
		mine := url.Values{
			"user_id": {u.ID}, "status": {"pending"}, "currency": {"EUR"}, "min_total": {"39.98"}, "max_total": {"39.98"},
			"from": {o.CreatedAt.Format(time.RFC3339Nano)}, "to": {o.CreatedAt.Add(1).Format(time.RFC3339Nano)},
		}
		if found := s.searched(t, created.Position(), mine); ids(found.Items) != o.ID || found.Items[0].TotalAmount != o.TotalAmount {
			t.Fatalf("found %+v, not %s", found, o.ID)
		}
		confirmed := s.step(t, o.ID, "confirm")
		position := confirmed.Position()
		if found := s.searched(t, position, mine); len(found.Items) > 0 {
			t.Errorf("still pending: %+v", found)
		}
		mine.Set("status", "confirmed")
		var now orderapi.Order
		s.Get(t, "/v1/orders/"+o.ID, &now, endpoint.HeaderPosition, position)
		if found := s.searched(t, position, mine); len(found.Items) != 1 || fmt.Sprint(found.Items[0]) != fmt.Sprint(now) {
			t.Errorf("found %+v, not %+v", found, now)
		}
	}
	called, err := call(t, s, orderapi.Search, orderapi.SearchRequest{UserID: u.ID, Limit: 3})
	if err != nil || len(called.Items) != 3 || called.Next == "" {
		t.Errorf("svc.order.search: %+v, %v", called, err)
	}
	behind := s.Do(t, http.MethodGet, "/v1/orders", nil, endpoint.HeaderPosition, "ORDERS=1000000")
	behind.Problem(t, http.StatusServiceUnavailable, endpoint.CodeUnavailable)
	if got := behind.Position(); !strings.HasPrefix(got, "ORDERS=") || got == "ORDERS=1000000" {
		t.Errorf("the model says it is at %q", got)
	}
}

// TestSearchPagesWhileOrdersArrive pages through a user's orders and meets each that
// was there in the beginning once, while others are placed.
func TestSearchPagesWhileOrdersArrive(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	var there []string
	for range 25 {
		there = append(there, s.newOrder(t, u.ID).ID)
	}
	last := s.step(t, there[0], "confirm").Position()
	slices.Reverse(there)
	var found []string
	parameters := url.Values{"user_id": {u.ID}, "limit": {"4"}}
	for {
		page := s.searched(t, last, parameters)
		for _, o := range page.Items {
			found = append(found, o.ID)
		}
		if page.Next == "" {
			break
		}
		parameters.Set("cursor", page.Next)
		s.newOrder(t, u.ID)
		last = s.step(t, s.newOrder(t, u.ID).ID, "cancel").Position()
	}
	if !slices.Equal(found, there) {
		t.Errorf("found %d orders, not %d:\n%v\n%v", len(found), len(there), found, there)
	}
	parameters.Del("cursor")
	parameters.Set("limit", "1000")
	if all := s.searched(t, last, parameters); len(all.Items) != 25+2*6 || all.Next != "" {
		t.Errorf("in the end there are %d orders", len(all.Items))
	}
}

func TestSearchRefusesBadParameters(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	s.newOrder(t, u.ID)
	last := s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem)).Position()
	next := s.searched(t, last, url.Values{"limit": {"1"}}).Next
	if next == "" {
		t.Fatal("there is no second page")
	}
	for _, c := range []struct{ query, field string }{
		{"status=lost", "status"},
		{"status=Pending", "status"},
		{"status=pending&status=shipped", "status"},
		{"user_id=a.b", "user_id"},
		{"from=yesterday", "from"},
		{"from=2026-01-02", "from"},
		{"to=2026-01-02T03:04:05", "to"},
		{"from=2026-01-03T00:00:00Z&to=2026-01-02T00:00:00Z", "to"},
		{"min_total=-1&currency=EUR", "min_total"},
		{"max_total=1e3&currency=EUR", "max_total"},
		{"max_total=NaN&currency=EUR", "max_total"},
		{"min_total=2&max_total=1&currency=EUR", "max_total"},
		{"min_total=2", "currency"},
		{"max_total=2", "currency"},
		{"currency=EURO", "currency"},
		{"limit=-1", "limit"},
		{"limit=1001", "limit"},
		{"limit=ten", "limit"},
		{"cursor=!", "cursor"},
		{"cursor=AAAA", "cursor"},
		{"cursor=" + strings.Repeat("A", 600), "cursor"},
		{"status=pending&cursor=" + next, "cursor"},
		{"page=2", "page"},
		{"Status=pending", "Status"},
	} {
		p := s.Do(t, http.MethodGet, "/v1/orders?"+c.query, nil).Problem(t, http.StatusBadRequest, endpoint.CodeInvalid)
		if !p.Names(c.field) {
			t.Errorf("%s: the problem does not name %s: %+v", c.query, c.field, p)
		}
	}
	empty := s.searched(t, "", url.Values{"status": {""}, "user_id": {""}, "min_total": {""}, "max_total": {""}, "currency": {""}, "cursor": {""}})
	if len(empty.Items) != 2 || empty.Next != "" {
		t.Errorf("with empty parameters: %+v", empty)
	}
}

// TestSearchKeepsItsFileInTheDataFolder also holds that nobody else can read it.
func TestSearchKeepsItsFileInTheDataFolder(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	info, err := os.Stat(filepath.Join(s.Data, "order", "search.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
