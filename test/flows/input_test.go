package flows_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// badRequest is a request that must be refused with a problem.
type badRequest struct {
	name   string
	method string // default POST
	path   string
	body   string
	header []string

	status int           // default 400
	code   endpoint.Code // default invalid
	field  string        // one that the problem names; empty: none has to be
}

func (b badRequest) check(t *testing.T, s *system) {
	t.Helper()
	if b.method == "" {
		b.method = http.MethodPost
	}
	if b.status == 0 {
		b.status = http.StatusBadRequest
	}
	if b.code == "" {
		b.code = endpoint.CodeInvalid
	}
	p := s.Do(t, b.method, b.path, b.body, b.header...).Problem(t, b.status, b.code)
	if b.field != "" && !p.Names(b.field) {
		t.Errorf("the problem does not name %s: %+v", b.field, p)
	}
}

func TestBadInputIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	o := s.newOrder(t, u.ID)
	for _, group := range []struct {
		name string
		bad  []badRequest
	}{
		{"user", badUsers()},
		{"order", badOrders(u.ID)},
		{"path and query", badAddresses(o.ID, u.ID)},
		{"HTTP", badHTTP(o.ID, u.ID)},
	} {
		for _, b := range group.bad {
			t.Run(group.name+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				b.check(t, s)
			})
		}
	}
}

func badUsers() []badRequest {
	user := func(username, email, password string) string { return userBody(username, email, password) }
	const name, mail, pass = "grace", "grace@example.com", "correct horse battery"
	bad := []badRequest{
		{name: "wrong JSON", body: `{"username": nope}`, field: "username"},
		{name: "not JSON", body: `username=grace`},
		{name: "truncated", body: `{"username":"grace","email":"grace@exam`, field: "email"},
		{name: "two objects", body: user(name, mail, pass) + `{}`},
		{name: "an array", body: `[` + user(name, mail, pass) + `]`},
		{name: "null", body: `null`},
		{name: "no body", field: "username"},
		{name: "unknown member", body: `{"username":"grace","email":"grace@example.com","password":"correct horse","role":"admin"}`, field: "role"},
		{name: "member in other case", body: `{"Username":"grace","email":"grace@example.com","password":"correct horse"}`, field: "Username"},
		{name: "member twice", body: `{"username":"grace","username":"hopper","email":"grace@example.com","password":"correct horse"}`, field: "username"},
		{name: "no username", body: `{"email":"grace@example.com","password":"correct horse"}`, field: "username"},
		{name: "no email", body: `{"username":"grace","password":"correct horse"}`, field: "email"},
		{name: "no password", body: `{"username":"grace","email":"grace@example.com"}`, field: "password"},
		{name: "username is a number", body: `{"username":7,"email":"grace@example.com","password":"correct horse"}`, field: "username"},
		{name: "email is null and nothing else", body: `{"username":"grace","email":null,"password":"correct horse"}`, field: "email"},
		{name: "password is an object", body: `{"username":"grace","email":"grace@example.com","password":{}}`, field: "password"},
		{name: "not UTF-8", body: "{\"username\":\"gr\xff\",\"email\":\"grace@example.com\",\"password\":\"correct horse\"}", field: "username"},
	}
	for name, x := range map[string]struct{ username, email, password, field string }{
		"long username":               {strings.Repeat("é", 65), mail, pass, "username"},
		"blank username":              {"   ", mail, pass, "username"},
		"username with blank ends":    {" grace", mail, pass, "username"},
		"username like an address":    {"grace@example.com", mail, pass, "username"},
		"username with a line break":  {"grace\nhopper", mail, pass, "username"},
		"username with a hidden mark": {"gra\u200bce", mail, pass, "username"},
		"long email":                  {name, strings.Repeat("a", 250) + "@b.de", pass, "email"},
		"no address":                  {name, "grace", pass, "email"},
		"address with a name":         {name, "Grace <grace@example.com>", pass, "email"},
		"address with a line break":   {name, "grace@example.com\r\nBcc: all@example.com", pass, "email"},
		"two addresses":               {name, "grace@example.com,ada@example.com", pass, "email"},
		"short password":              {name, mail, "1234567", "password"},
		"long password":               {name, mail, strings.Repeat("x", 257), "password"},
	} {
		bad = append(bad, badRequest{name: name, body: user(x.username, x.email, x.password), field: x.field})
	}
	for i := range bad {
		bad[i].path = "/v1/users"
	}
	return bad
}

func badOrders(userID string) []badRequest {
	price := func(number, currency string) string {
		return fmt.Sprintf(`{"number":%q,"currency":%q}`, number, currency)
	}
	item := func(quantity, price string) string {
		return fmt.Sprintf(`{"product_id":"p-1","quantity":%s,"price":%s}`, quantity, price)
	}
	eur := price("19.99", "EUR")
	var bad []badRequest
	for _, x := range []struct{ name, items, field string }{
		{"empty order", `[]`, "items"},
		{"items are null", `null`, "items"},
		{"items are an object", `{}`, "items"},
		{"too many items", `[` + strings.Repeat(item("1", eur)+`,`, 1000) + item("1", eur) + `]`, "items"},
		{"zero quantity", `[` + item("0", eur) + `]`, "items[0].quantity"},
		{"negative quantity", `[` + item("-1", eur) + `]`, "items[0].quantity"},
		{"half a piece", `[` + item("1.5", eur) + `]`, "items[0].quantity"},
		{"quantity in quotes", `[` + item(`"2"`, eur) + `]`, "items[0].quantity"},
		{"huge quantity", `[` + item("1000001", eur) + `]`, "items[0].quantity"},
		{"quantity beyond integers", `[` + item("1e30", eur) + `]`, "items[0].quantity"},
		{"no quantity", `[{"product_id":"p-1","price":` + eur + `}]`, "items[0].quantity"},
		{"no price", `[{"product_id":"p-1","quantity":1}]`, "items[0].price"},
		{"price is a number", `[` + item("1", `19.99`) + `]`, "items[0].price"},
		{"number is a number", `[` + item("1", `{"number":19.99,"currency":"EUR"}`) + `]`, "items[0].price.number"},
		{"negative price", `[` + item("1", price("-0.01", "EUR")) + `]`, "items[0].price"},
		{"no currency", `[` + item("1", `{"number":"19.99"}`) + `]`, "items[0].price"},
		{"bad currency", `[` + item("1", price("19.99", "EURO")) + `]`, "items[0].price"},
		{"currency in lower case", `[` + item("1", price("19.99", "eur")) + `]`, "items[0].price"},
		{"unknown currency", `[` + item("1", price("19.99", "QQQ")) + `]`, "items[0].price"},
		{"unknown member of the price", `[` + item("1", `{"number":"1","currency":"EUR","vat":"0.19"}`) + `]`, "items[0].price.vat"},
		{"mixed currencies", `[` + item("1", eur) + `,` + item("1", price("19.99", "USD")) + `]`, "items[1].price.currency"},
		{"second item is bad", `[` + item("1", eur) + `,` + item("0", eur) + `]`, "items[1].quantity"},
		{"huge price", `[` + item("1", price("9999999999999999999", "EUR")) + `]`, "items[0].price.number"},
		{"price of endless digits", `[` + item("1", price(strings.Repeat("9", 4000), "EUR")) + `]`, "items[0].price"},
		{"price with tiny parts", `[` + item("1", price("0.0000001", "EUR")) + `]`, "items[0].price.number"},
		{"price with an exponent", `[` + item("1", price("1e3", "EUR")) + `]`, "items[0].price"},
		{"price that is none", `[` + item("1", price("NaN", "EUR")) + `]`, "items[0].price"},
		{"price without end", `[` + item("1", price("Infinity", "EUR")) + `]`, "items[0].price"},
		{"no product", `[{"quantity":1,"price":` + eur + `}]`, "items[0].product_id"},
		{"long product", `[{"product_id":"` + strings.Repeat("p", 129) + `","quantity":1,"price":` + eur + `}]`, "items[0].product_id"},
		{"unknown member of an item", `[{"product_id":"p-1","quantity":1,"price":` + eur + `,"colour":"red"}]`, "items[0].colour"},
		{"member of an item twice", `[{"product_id":"p-1","quantity":1,"quantity":2,"price":` + eur + `}]`, "items[0].quantity"},
	} {
		bad = append(bad, badRequest{name: x.name, path: "/v1/orders", body: orderBody(userID, x.items), field: x.field})
	}
	for _, x := range []struct{ name, body, field string }{
		{"unknown user", orderBody(event.NewID(), oneItem), "user_id"},
		{"malformed user", orderBody("a.b", oneItem), "user_id"},
		{"long user", orderBody(strings.Repeat("u", 129), oneItem), "user_id"},
		{"no user", `{"items":` + oneItem + `}`, "user_id"},
		{"user is a number", `{"user_id":1,"items":` + oneItem + `}`, "user_id"},
		{"total is not the client's to say", `{"user_id":"` + userID + `","items":` + oneItem + `,"total_amount":{"number":"0.01","currency":"EUR"}}`, "total_amount"},
	} {
		bad = append(bad, badRequest{name: x.name, path: "/v1/orders", body: x.body, field: x.field})
	}
	return bad
}

func badAddresses(orderID, userID string) []badRequest {
	long := strings.Repeat("x", 129)
	var bad []badRequest
	get := func(path string, status int, code endpoint.Code, field string) {
		bad = append(bad, badRequest{name: "GET " + path, method: http.MethodGet, path: path, status: status, code: code, field: field})
	}
	for _, path := range []string{"/v1/orders/%s", "/v1/users/%s", "/v1/orders/%s/history"} {
		for _, id := range []string{"a.b", "*", "%3E", "a%20b", "%00", "ada%0d%0a", "%C3%A4", long} {
			get(strings.Replace(path, "%s", id, 1), 400, endpoint.CodeInvalid, "id")
		}
		get(strings.Replace(path, "%s", "%FF", 1), 400, endpoint.CodeInvalid, "id")
		get(fmt.Sprintf(path, event.NewID()), 404, endpoint.CodeNotFound, "id")
	}
	for _, path := range []string{"/v1/users", "/v1/users/" + userID + "/orders", "/v1/notifications"} {
		for _, limit := range []string{"-1", "1001", "ten", "1.5", "99999999999999999999", ""} {
			get(path+"?limit="+limit, 400, endpoint.CodeInvalid, "limit")
		}
		get(path+"?limit=1&limit=2", 400, endpoint.CodeInvalid, "limit")
		for _, cursor := range []string{"!", "AAA", "Li4u", strings.Repeat("A", 600)} {
			get(path+"?cursor="+cursor, 400, endpoint.CodeInvalid, "cursor")
		}
		get(path+"?page=2", 400, endpoint.CodeInvalid, "page")
		get(path+"?limit=%zz", 400, endpoint.CodeInvalid, "")
	}
	get("/v1/users/a.b/orders", 400, endpoint.CodeInvalid, "user_id")
	get("/v1/users/"+userID+"/orders?user_id="+userID, 400, endpoint.CodeInvalid, "user_id")
	get("/v1/notifications?user_id=a.b", 400, endpoint.CodeInvalid, "user_id")
	for _, step := range []string{"confirm", "ship", "deliver", "cancel"} {
		bad = append(bad,
			badRequest{name: step + " nothing", path: "/v1/orders/" + event.NewID() + "/" + step, status: 404, code: endpoint.CodeNotFound, field: "id"},
			badRequest{name: step + " a malformed id", path: "/v1/orders/a.b/" + step, field: "id"},
			badRequest{name: step + " with a long reason", path: "/v1/orders/" + orderID + "/" + step, body: `{"reason":"` + strings.Repeat("r", 501) + `"}`, field: "reason"},
			badRequest{name: step + " with another id in the body", path: "/v1/orders/" + orderID + "/" + step, body: `{"id":"x"}`, field: "id"},
			badRequest{name: step + " with an unknown member", path: "/v1/orders/" + orderID + "/" + step, body: `{"when":"now"}`, field: "when"},
		)
	}
	return bad
}

func badHTTP(orderID, userID string) []badRequest {
	good := orderBody(userID, oneItem)
	bad := []badRequest{
		{name: "body over 1 MiB", path: "/v1/orders", body: `{"user_id":"` + strings.Repeat("x", 1<<20) + `"}`, status: http.StatusRequestEntityTooLarge},
		{name: "blanks over 1 MiB", path: "/v1/orders", body: good + strings.Repeat(" ", 1<<20), status: http.StatusRequestEntityTooLarge},
		{name: "text", path: "/v1/orders", body: good, header: []string{"Content-Type", "text/plain"}, status: http.StatusUnsupportedMediaType},
		{name: "a form", path: "/v1/orders", body: good, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: http.StatusUnsupportedMediaType},
		{name: "no content type", path: "/v1/orders", body: good, header: []string{"Content-Type", ""}, status: http.StatusUnsupportedMediaType},
		{name: "wrong method", method: http.MethodPut, path: "/v1/users", body: `{}`, status: http.StatusMethodNotAllowed},
		{name: "wrong method for one order", method: http.MethodDelete, path: "/v1/orders/" + orderID, status: http.StatusMethodNotAllowed},
		{name: "get a step", method: http.MethodGet, path: "/v1/orders/" + orderID + "/confirm", status: http.StatusMethodNotAllowed},
		{name: "look at sessions", method: http.MethodGet, path: "/v1/sessions", status: http.StatusMethodNotAllowed},
		{name: "made-up method", method: "BREW", path: "/v1/users", status: http.StatusMethodNotAllowed},
		{name: "body of a GET", method: http.MethodGet, path: "/v1/users/" + userID, body: `{}`},
	}
	for _, path := range []string{"/", "/v1", "/v2/users", "/v1/users/", "/v1/orders/" + orderID + "/refund", "//v1/users", "/v1/../v1/users"} {
		bad = append(bad, badRequest{name: "route " + path, method: http.MethodGet, path: path, status: http.StatusNotFound, code: endpoint.CodeNotFound})
	}
	for _, position := range []string{"ORDERS", "ORDERS=", "ORDERS=x", "ORDERS=-1", "=1", "ORDERS=1;USERS=2", "ORDERS=99999999999999999999", "A=1,B=1,C=1,D=1,E=1,F=1,G=1,H=1,I=1,J=1,K=1,L=1,M=1,N=1,O=1,P=1,Q=1"} {
		bad = append(bad, badRequest{name: "position " + position, method: http.MethodGet, path: "/v1/users/" + userID + "/orders", header: []string{endpoint.HeaderPosition, position}, field: endpoint.HeaderPosition})
	}
	bad = append(bad, badRequest{name: "position twice", method: http.MethodGet, path: "/v1/users/" + userID + "/orders", header: []string{endpoint.HeaderPosition, "ORDERS=1", endpoint.HeaderPosition, "ORDERS=1"}, field: endpoint.HeaderPosition})
	for name, key := range map[string]string{"empty": "", "long": strings.Repeat("k", 256), "not ASCII": "schlüssel", "with a tab": "a\tb"} {
		bad = append(bad, badRequest{name: "key " + name, path: "/v1/orders", body: good, header: []string{endpoint.HeaderIdempotencyKey, key}, field: endpoint.HeaderIdempotencyKey})
	}
	return append(bad, badRequest{name: "key twice", path: "/v1/orders", body: good, header: []string{endpoint.HeaderIdempotencyKey, "a", endpoint.HeaderIdempotencyKey, "b"}, field: endpoint.HeaderIdempotencyKey})
}
