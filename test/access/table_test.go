package access_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
)

// The answers in the table.
const (
	ok       = endpoint.Code("")
	login    = endpoint.CodeUnauthenticated
	no       = endpoint.CodeForbidden
	none     = endpoint.CodeNotFound
	conflict = endpoint.CodeConflict
)

// roles are the columns of the table. A token that is no good leads to 401 everywhere,
// so that has no column.
var roles = []string{"nobody", "the customer", "another customer", "operator", "admin", "service"}

// Rows that are alike.
var (
	everybody = []endpoint.Code{ok, ok, ok, ok, ok, ok}
	operators = []endpoint.Code{login, no, no, ok, ok, ok}
	admins    = []endpoint.Code{login, no, no, no, ok, no}
)

// adminsMiss is for what admins may do with something that there is not.
var adminsMiss = []endpoint.Code{login, no, no, no, none, no}

// scene is what one request is about.
type scene struct {
	customer person
	order    orderapi.Order // of the customer's
}

// row is one endpoint: what is asked, and who gets what.
type row struct {
	ask  func(scene) string
	want []endpoint.Code
	// fresh asks each time about another customer, because the request changes it.
	fresh bool
}

func says(body string) func(scene) string { return func(scene) string { return body } }

func byOrder(c scene) string { return fmt.Sprintf(`{"id":%q}`, c.order.ID) }

func byUser(format string) func(scene) string {
	return func(c scene) string { return fmt.Sprintf(format, c.customer.ID) }
}

var (
	projection = row{ask: says(`{}`), want: operators}
	rebuild    = row{ask: says(`{"name":"no-such-model"}`), want: adminsMiss}
	health     = row{ask: says(`{}`), want: everybody}
)

// table has every endpoint of the system. One that is not here fails the test.
var table = map[string]row{
	"svc.user.create": {want: everybody, ask: func(scene) string {
		name := "t" + strings.ReplaceAll(event.NewID(), "-", "")
		return fmt.Sprintf(`{"username":%q,"email":%q,"password":%q}`, name, name+"@example.com", password)
	}},
	"svc.user.get":    {ask: byUser(`{"id":%q}`), want: []endpoint.Code{login, ok, no, ok, ok, ok}},
	"svc.user.list":   {ask: says(`{"limit":3}`), want: operators},
	"svc.user.update": {ask: byUser(`{"id":%q,"email":"new@example.com"}`), want: []endpoint.Code{login, ok, no, no, ok, no}},
	"svc.user.erase":  {ask: byUser(`{"id":%q}`), want: []endpoint.Code{login, ok, no, no, ok, no}, fresh: true},
	"svc.user.authenticate": {want: everybody, fresh: true, ask: func(c scene) string {
		return fmt.Sprintf(`{"login":%q,"password":%q}`, c.customer.Username, password)
	}},
	"svc.user.set-password": {want: []endpoint.Code{login, ok, no, no, no, no}, fresh: true, ask: func(c scene) string {
		return fmt.Sprintf(`{"id":%q,"current":%q,"new":"another password"}`, c.customer.ID, password)
	}},
	"svc.user.set-roles": {ask: byUser(`{"id":%q,"roles":["operator"]}`), want: admins, fresh: true},
	"svc.user.login": {want: everybody, fresh: true, ask: func(c scene) string {
		return fmt.Sprintf(`{"login":%q,"password":%q}`, c.customer.Email, password)
	}},
	"svc.user.logout": {want: everybody, fresh: true, ask: func(c scene) string {
		return fmt.Sprintf(`{"refresh_token":%q}`, c.customer.session.RefreshToken)
	}},
	"svc.user.projection":         projection,
	"svc.user.projection-rebuild": rebuild,
	"svc.user.health":             health,

	"svc.order.create":             {want: []endpoint.Code{login, ok, no, ok, ok, ok}, ask: func(c scene) string { return orderBody(c.customer.ID) }},
	"svc.order.get":                {ask: byOrder, want: []endpoint.Code{login, ok, none, ok, ok, ok}},
	"svc.order.list":               {ask: byUser(`{"user_id":%q}`), want: []endpoint.Code{login, ok, no, ok, ok, ok}},
	"svc.order.search":             {ask: says(`{"limit":3}`), want: operators},
	"svc.order.export":             {ask: says(`{}`), want: operators},
	"svc.order.confirm":            {ask: byOrder, want: operators, fresh: true},
	"svc.order.ship":               {ask: byOrder, want: []endpoint.Code{login, no, no, conflict, conflict, conflict}}, // it is pending
	"svc.order.deliver":            {ask: byOrder, want: []endpoint.Code{login, no, no, conflict, conflict, conflict}},
	"svc.order.cancel":             {ask: byOrder, want: []endpoint.Code{login, ok, none, ok, ok, ok}, fresh: true},
	"svc.order.history":            {ask: byOrder, want: []endpoint.Code{login, ok, none, ok, ok, ok}},
	"svc.order.projection":         projection,
	"svc.order.projection-rebuild": rebuild,
	"svc.order.health":             health,

	"svc.notification.list":               {ask: says(`{"limit":3}`), want: operators},
	"svc.notification.projection":         projection,
	"svc.notification.projection-rebuild": rebuild,
	"svc.notification.health":             health,

	"svc.deadletter.list":        {ask: says(`{}`), want: admins},
	"svc.deadletter.get":         {ask: says(`{"id":"none"}`), want: adminsMiss},
	"svc.deadletter.redrive":     {ask: says(`{"id":"none"}`), want: adminsMiss},
	"svc.deadletter.redrive-all": {ask: says(`{"consumer":"nobody"}`), want: admins},
	"svc.deadletter.discard":     {ask: says(`{"id":"none"}`), want: adminsMiss},
	"svc.deadletter.health":      health,

	"svc.registry.register": {want: admins, ask: func(scene) string {
		return fmt.Sprintf(`{"name":"t%s","version":"1.0.0","host":"shop.example","port":80}`, strings.ReplaceAll(event.NewID(), "-", ""))
	}},
	"svc.registry.deregister":   {ask: says(`{"name":"none"}`), want: adminsMiss},
	"svc.registry.get":          {ask: says(`{"name":"order"}`), want: operators},
	"svc.registry.list":         {ask: says(`{}`), want: operators},
	"svc.registry.change-check": {ask: says(`{"name":"none","check":{"interval":"10s","timeout":"2s","retries":3}}`), want: adminsMiss},
	"svc.registry.health-check": {ask: says(`{"name":"none"}`), want: adminsMiss},
	"svc.registry.alerts":       {ask: says(`{}`), want: operators},
	"svc.registry.health":       health,

	"svc.registry.projection":         projection,
	"svc.registry.projection-rebuild": rebuild,

	"svc.gateway.routes": {ask: says(`{}`), want: admins},
	"svc.gateway.health": health,
}

// TestWhoMayDoWhat asks every endpoint that the running system shows, over NATS and,
// where it has a route, over HTTP, as everybody.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	found := s.endpoints(t)
	for subject := range found {
		if _, listed := table[subject]; !listed {
			t.Errorf("%s is not in the table: who may call it?", subject)
		}
	}
	forged := s.forger(t)
	own := auth.NewServiceTokens(s.JS, "tester")
	serviceToken, err := own.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared := s.scene(t)
	stranger, operator, admin := s.newcomer(t), s.withRole(t, auth.Operator), s.withRole(t, auth.Admin)
	if _, err := s.ask(t, "svc.user.list", forged.admin(t, admin.ID, time.Minute), `{}`); err != nil {
		t.Fatalf("the forger's tokens are no good at all: %v", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(table)) {
		e, served := found[subject]
		if !served {
			t.Errorf("%s is in the table, and nobody serves it", subject)
			continue
		}
		r := table[subject]
		t.Run(strings.TrimPrefix(subject, "svc."), func(t *testing.T) {
			t.Parallel()
			for i, role := range roles {
				s.each(t, e, r, shared, func(c scene) string {
					return []string{"", c.customer.session.AccessToken, stranger.session.AccessToken, operator.session.AccessToken, admin.session.AccessToken, serviceToken}[i]
				}, role, r.want[i])
			}
			for what, token := range map[string]string{
				"an expired token":        forged.admin(t, admin.ID, -time.Minute),
				"a tampered token":        tampered(admin.session.AccessToken),
				"no token but some words": "let-me-in",
			} {
				s.each(t, e, r, shared, func(scene) string { return token }, what, login)
			}
		})
	}
}

func (s *system) scene(t testing.TB) scene {
	t.Helper()
	p := s.newcomer(t)
	return scene{customer: p, order: s.order(t, p)}
}

// each makes one request of a row, over NATS and over HTTP.
func (s *system) each(t *testing.T, e served, r row, shared scene, token func(scene) string, who string, want endpoint.Code) {
	t.Helper()
	about := func() scene {
		if r.fresh {
			return s.scene(t)
		}
		return shared
	}
	c := about()
	if _, err := s.ask(t, e.subject, token(c), r.ask(c)); codeOf(err) != want {
		t.Errorf("%s over NATS: %v, want %q", who, err, want)
	}
	if e.path == "" {
		return
	}
	c = about()
	path, body := overHTTP(t, e, r.ask(c))
	a := s.do(t, e.method, path, token(c), body)
	if want == ok && a.Status/100 != 2 || want != ok && a.Status != want.Status() {
		t.Errorf("%s over HTTP: %s %s: %d %s, want %q", who, e.method, path, a.Status, a.Body, want)
	}
	if want == login && a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s %s: 401 without WWW-Authenticate", e.method, path)
	}
}

// overHTTP spreads the members of a request over path, query and body.
func overHTTP(t *testing.T, e served, request string) (path, body string) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(request), &members); err != nil {
		t.Fatal(err)
	}
	path = e.path
	for name, value := range members {
		if strings.Contains(path, "{"+name+"}") {
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(fmt.Sprint(value)))
			delete(members, name)
		}
	}
	if e.method == http.MethodGet || e.method == http.MethodDelete {
		query := url.Values{}
		for name, value := range members {
			query.Set(name, fmt.Sprint(value))
		}
		if len(query) > 0 {
			path += "?" + query.Encode()
		}
		return path, ""
	}
	rest, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(rest)
}
