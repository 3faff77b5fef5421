package endpoint_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

func TestBadRequestsNameTheField(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, accept)
	nc := s.srv.Connect(t)
	const price = `"price":{"number":"1.50","currency":"EUR"}`
	oneItem := func(item string) string { return `{"user_id":"u","items":[` + item + `]}` }
	for _, c := range []struct{ name, header, value, body, field, message string }{
		{name: "empty body", field: "user_id", message: "is required"},
		{name: "blank body", body: " \n", field: "user_id", message: "is required"},
		{name: "null", body: "null"},
		{name: "array", body: "[]"},
		{name: "not JSON", body: "hello"},
		{name: "cut off", body: `{"user_id":`},
		{name: "trailing data", body: oneItem(`{"product_id":"p","quantity":1,`+price+`}`) + "{}"},
		{name: "not UTF-8", body: "{\"user_id\":\"\xff\"}", field: "user_id", message: "is not valid JSON"},
		{name: "unknown member", body: `{"user_id":"u","itmes":[]}`, field: "itmes", message: "is not a member of this request"},
		{name: "other case", body: `{"User_ID":"u"}`, field: "User_ID", message: "is not a member of this request"},
		{name: "duplicate member", body: `{"user_id":"u","user_id":"v"}`, field: "user_id", message: "is there twice"},
		{name: "null member", body: `{"user_id":null,"items":[]}`, field: "user_id", message: "is required"},
		{name: "wrong type", body: `{"user_id":7}`, field: "user_id", message: "must be a string"},
		{name: "deep wrong type", body: oneItem(`{"quantity":"two"}`), field: "items[0].quantity", message: "must be an integer in range"},
		{name: "fraction", body: oneItem(`{"quantity":1.5}`), field: "items[0].quantity", message: "must be an integer in range"},
		{name: "overflow", body: oneItem(`{"quantity":1e30}`), field: "items[0].quantity", message: "must be an integer in range"},
		{name: "deep unknown", body: oneItem(`{"colour":"red"}`), field: "items[0].colour", message: "is not a member of this request"},
		{name: "not an array", body: `{"items":{}}`, field: "items", message: "must be an array"},
		{name: "bad time", body: `{"due":"tomorrow"}`, field: "due", message: "must be a time like 2006-01-02T15:04:05Z"},
		{name: "money number", body: oneItem(`{"price":{"number":1.5,"currency":"EUR"}}`), field: "items[0].price.number", message: "must be a string"},
		{name: "money NaN", body: oneItem(`{"price":{"number":"NaN","currency":"EUR"}}`), field: "items[0].price", message: `must be an amount like {"number":"19.99","currency":"EUR"}`},
		{name: "money currency", body: oneItem(`{"price":{"number":"1","currency":"XXQ"}}`), field: "items[0].price", message: `must be an amount like {"number":"19.99","currency":"EUR"}`},
		{name: "money member", body: oneItem(`{"price":{"number":"1","currency":"EUR","x":1}}`), field: "items[0].price.x", message: "is not a member of this request"},
		{name: "money string", body: oneItem(`{"price":"1 EUR"}`), field: "items[0].price", message: `must be an amount like {"number":"19.99","currency":"EUR"}`},
		{name: "no items", body: `{"user_id":"u","items":[]}`, field: "items", message: "must have at least 1 items"},
		{name: "zero quantity", body: oneItem(`{"product_id":"p","quantity":0,` + price + `}`), field: "items[0].quantity", message: "must be at least 1"},
		{name: "over-long", body: oneItem(`{"product_id":"123456789","quantity":1,` + price + `}`), field: "items[0].product_id", message: "must have at most 8 characters"},
		{name: "over-long pointer", body: `{"user_id":"u","note":"12345","items":[{"product_id":"p","quantity":1,` + price + `}]}`, field: "note", message: "must have at most 4 characters"},
		{name: "own rule", body: `{"user_id":"nobody","items":[{"product_id":"p","quantity":1,` + price + `}]}`, field: "user_id", message: "must be somebody"},
		{name: "timeout", header: endpoint.HeaderTimeout, value: "soon", field: endpoint.HeaderTimeout, message: "must be milliseconds"},
		{name: "negative timeout", header: endpoint.HeaderTimeout, value: "-1", field: endpoint.HeaderTimeout, message: "must be milliseconds"},
		{name: "position", header: endpoint.HeaderPosition, value: "ORDERS", field: endpoint.HeaderPosition, message: "must be like ORDERS=1234"},
		{name: "position number", header: endpoint.HeaderPosition, value: "ORDERS=1,USERS=x", field: endpoint.HeaderPosition, message: "must be like ORDERS=1234"},
		{name: "key", header: endpoint.HeaderIdempotencyKey, value: strings.Repeat("k", 256), field: endpoint.HeaderIdempotencyKey, message: "must be 1 to 255 printable ASCII characters"},
		{name: "expected version", header: endpoint.HeaderExpectedVersion, value: "-1", field: endpoint.HeaderExpectedVersion, message: "must be a version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			msg := &nats.Msg{Subject: create.Subject(), Data: []byte(c.body), Header: nats.Header{}}
			if c.header != "" {
				msg.Header[c.header] = []string{c.value}
			}
			reply, err := nc.RequestMsg(msg, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var body struct {
				Code   endpoint.Code         `json:"code"`
				Fields []endpoint.FieldError `json:"fields"`
			}
			if err := json.Unmarshal(reply.Data, &body); err != nil {
				t.Fatalf("%s: %v", reply.Data, err)
			}
			if reply.Header.Get("Nats-Service-Error-Code") != "400" || body.Code != endpoint.CodeInvalid {
				t.Fatalf("%v %s", reply.Header, reply.Data)
			}
			if c.field == "" {
				return
			}
			if len(body.Fields) == 0 || body.Fields[0] != (endpoint.FieldError{Field: c.field, Message: c.message}) {
				t.Errorf("fields %+v, want %s %s", body.Fields, c.field, c.message)
			}
		})
	}
}

func TestExpiredBeforeItRan(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, accept)
	msg := &nats.Msg{Subject: create.Subject(), Header: nats.Header{endpoint.HeaderTimeout: {"0"}}}
	reply, err := s.srv.Connect(t).RequestMsg(msg, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := reply.Header.Get("Nats-Service-Error-Code"); got != "504" {
		t.Errorf("status %s", got)
	}
}

// Page is embedded in list requests: its members are theirs.
type Page struct {
	Limit int `json:"limit,omitzero" validate:"max=10"`
}

type listRequest struct {
	Page

	Name string `json:"name,omitzero"`
}

func TestEmbeddedMembersAreTheRequestsOwn(t *testing.T) {
	t.Parallel()
	list := endpoint.Method[listRequest, struct{}]{Service: "order", Name: "list", Auth: endpoint.Public}
	srv := natstest.Start(t)
	server := endpoint.Serve(srv.Connect(t), endpoint.ServiceConfig{Name: "order", Version: "1.0.0"},
		endpoint.Handle(list, func(context.Context, listRequest) (struct{}, error) { return struct{}{}, nil }))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})
	_, err := endpoint.Call(t.Context(), caller, list, listRequest{Page: Page{Limit: 11}})
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok || len(e.Fields) != 1 || e.Fields[0] != (endpoint.FieldError{Field: "limit", Message: "must be at most 10"}) {
		t.Errorf("got %v", err)
	}
	if schema := string(list.Spec().Request); !strings.Contains(schema, `"limit":{"type":"integer","maximum":10}`) {
		t.Errorf("schema %s", schema)
	}
}
