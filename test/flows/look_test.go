package flows_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/services/deadletter/deadletterapi"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
)

func TestFeedIsACopyOfHistory(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	feed, err := s.nc.SubscribeSync("feed.>")
	if err != nil {
		t.Fatal(err)
	}
	u := s.newUser(t)
	s.do(t, http.MethodPost, "/v1/users", userBody(u.Username, "other@example.com", "correct horse battery")).problem(t, http.StatusConflict, endpoint.CodeConflict)
	o := s.newOrder(t, u.ID)
	s.step(t, o.ID, "confirm")
	s.do(t, http.MethodPost, "/v1/orders/"+o.ID+"/deliver", "").problem(t, http.StatusConflict, endpoint.CodeConflict)
	refused := &nats.Msg{Subject: "order.shipped." + o.ID, Data: []byte("{}"), Header: nats.Header{"Nats-Rollup": {"all"}}}
	if _, sequence := s.publish(t, refused); sequence != 0 {
		t.Fatal("a rollup was stored")
	}
	s.judged(t, &nats.Msg{Subject: "order.created", Data: []byte("{}")})
	s.step(t, o.ID, "cancel")
	s.notified(t, u.ID, notificationapi.StatusSent, 2)

	wanted := make(map[string]string)
	for _, stream := range []string{"USERS", "ORDERS", "NOTIFICATIONS"} {
		for _, m := range s.stored(t, stream) {
			if strings.Count(m.Subject, ".") == 3 {
				continue // a claim
			}
			wanted["feed."+m.Subject] = string(m.Data)
			if !jsontext.Value(m.Data).IsValid() {
				t.Errorf("the body of %s is not JSON: %s", m.Subject, m.Data)
			}
		}
	}
	if len(wanted) != 6 {
		t.Fatalf("%d events are stored: %v", len(wanted), wanted)
	}
	for len(wanted) > 0 {
		m, err := feed.NextMsg(patience)
		if err != nil {
			t.Fatalf("waiting for %v: %v", wanted, err)
		}
		body, ok := wanted[m.Subject]
		if !ok || body != string(m.Data) || m.Header.Get("ce-id") == "" || m.Header.Get("Nats-Sequence") == "" {
			t.Errorf("the feed has %s %v %s", m.Subject, m.Header, m.Data)
		}
		delete(wanted, m.Subject)
	}
	// Whatever else there was to come has come before the answer to this.
	if err := s.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := feed.Pending(); n != 0 || err != nil {
		t.Errorf("%d more on the feed, %v", n, err)
	}
}

func TestServicesTellWhatTheyAre(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for service, specs := range map[string][]endpoint.Spec{
		"user": userapi.Routes, "order": orderapi.Routes, "notification": notificationapi.Routes, "deadletter": deadletterapi.Routes,
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			reply, err := s.nc.Request("$SRV.INFO."+service, nil, patience)
			if err != nil {
				t.Fatal(err)
			}
			var info micro.Info
			if err := json.Unmarshal(reply.Data, &info); err != nil {
				t.Fatal(err)
			}
			if info.Name != service || info.Version != "0.1.0" || info.Description == "" {
				t.Errorf("info is %s %s %q", info.Name, info.Version, info.Description)
			}
			shown := make(map[string]micro.EndpointInfo)
			for _, e := range info.Endpoints {
				if !strings.HasPrefix(e.Name, "projection") { // what every service says of its read models
					shown[e.Subject] = e
				}
			}
			if _, ok := shown["svc."+service+".health"]; !ok || len(shown) != len(specs)+1 {
				t.Errorf("endpoints are %v", shown)
			}
			for _, spec := range specs {
				m := shown[spec.Subject].Metadata
				verb, path := spec.Route()
				if m["description"] == "" || m["http.method"] != verb || m["http.path"] != path {
					t.Errorf("%s shows %v", spec.Subject, m)
				}
				for _, schema := range []string{"schema.request", "schema.response"} {
					var object struct {
						Type       string                    `json:"type"`
						Properties map[string]jsontext.Value `json:"properties"`
					}
					if err := json.Unmarshal([]byte(m[schema]), &object); err != nil || object.Type != "object" || len(object.Properties) == 0 {
						t.Errorf("%s: %s is %q", spec.Subject, schema, m[schema])
					}
				}
			}
			health, err := s.nc.Request("svc."+service+".health", nil, patience)
			if err != nil || !strings.Contains(string(health.Data), `"status":"ok"`) {
				t.Errorf("health: %s, %v", health.Data, err)
			}
		})
	}
	t.Run("invalid JSON", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{`{"id":`, `nonsense`, `{"id":"x","y":1}`, `{"id":7}`, ``} {
			reply, err := s.nc.Request("svc.order.get", []byte(body), patience)
			if err != nil {
				t.Fatal(err)
			}
			var wire struct {
				Code    endpoint.Code         `json:"code"`
				Message string                `json:"message"`
				Fields  []endpoint.FieldError `json:"fields"`
			}
			if err := json.Unmarshal(reply.Data, &wire, json.RejectUnknownMembers(true)); err != nil {
				t.Fatalf("%s: %v", reply.Data, err)
			}
			if reply.Header.Get(micro.ErrorCodeHeader) != "400" || reply.Header.Get(micro.ErrorHeader) != wire.Message ||
				wire.Code != endpoint.CodeInvalid || wire.Message == "" || reply.Header.Get(endpoint.HeaderCorrelationID) == "" {
				t.Errorf("%q is answered by %v %s", body, reply.Header, reply.Data)
			}
		}
	})
}
