package flows_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/services/deadletter/deadletterapi"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

func TestFeedIsACopyOfHistory(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	feed := make(chan *nats.Msg, 100)
	for _, entity := range []string{"user", "order", "notification"} { // of services there are events by themselves
		if _, err := s.NC.ChanSubscribe("feed."+entity+".>", feed); err != nil {
			t.Fatal(err)
		}
	}
	before := map[string]int{"USERS": len(s.stored(t, "USERS"))} // the admin
	u := s.newUser(t)
	s.Do(t, http.MethodPost, "/v1/users", userBody(u.Username, "other@example.com", "correct horse battery")).Problem(t, http.StatusConflict, endpoint.CodeConflict)
	o := s.newOrder(t, u.ID)
	s.step(t, o.ID, "confirm")
	s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/deliver", nil).Problem(t, http.StatusConflict, endpoint.CodeConflict)
	refused := &nats.Msg{Subject: "order.shipped." + o.ID, Data: []byte("{}"), Header: nats.Header{"Nats-Rollup": {"all"}}}
	if _, sequence := s.publish(t, refused); sequence != 0 {
		t.Fatal("a rollup was stored")
	}
	s.judged(t, &nats.Msg{Subject: "order.created", Data: []byte("{}")})
	s.step(t, o.ID, "cancel")
	s.notified(t, u.ID, notificationapi.StatusSent, 2)

	wanted := make(map[string]string)
	for _, stream := range []string{"USERS", "ORDERS", "NOTIFICATIONS"} {
		for _, m := range s.stored(t, stream)[before[stream]:] {
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
		var m *nats.Msg
		select {
		case m = <-feed:
		case <-time.After(program.Patience):
			t.Fatalf("waited in vain for %v", wanted)
		}
		body, ok := wanted[m.Subject]
		if !ok || body != string(m.Data) || m.Header.Get("ce-id") == "" || m.Header.Get("Nats-Sequence") == "" {
			t.Errorf("the feed has %s %v %s", m.Subject, m.Header, m.Data)
		}
		delete(wanted, m.Subject)
	}
	// Whatever else there was to come has come before the answer to this.
	if err := s.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(feed) > 0 {
		t.Errorf("%d more on the feed, the first is %s", len(feed), (<-feed).Subject)
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
			reply, err := s.NC.Request("$SRV.INFO."+service, nil, program.Patience)
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
				if m["description"] == "" || m["http.method"] != verb || m["http.path"] != path || m["http.auth"] != string(spec.Auth) {
					t.Errorf("%s shows %v", spec.Subject, m)
				}
				for _, schema := range []string{"schema.request", "schema.response"} {
					var object struct {
						Type       string                    `json:"type"`
						Properties map[string]jsontext.Value `json:"properties"`
						Additional any                       `json:"additionalProperties"`
					}
					if err := json.Unmarshal([]byte(m[schema]), &object); err != nil || object.Type != "object" ||
						len(object.Properties) == 0 && object.Additional != false {
						t.Errorf("%s: %s is %q", spec.Subject, schema, m[schema])
					}
				}
			}
			health, err := s.NC.Request("svc."+service+".health", nil, program.Patience)
			if err != nil || !strings.Contains(string(health.Data), `"status":"ok"`) {
				t.Errorf("health: %s, %v", health.Data, err)
			}
		})
	}
	t.Run("invalid JSON", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{`{"id":`, `nonsense`, `{"id":"x","y":1}`, `{"id":7}`, ``} {
			reply := s.Ask(t, "svc.order.get", []byte(body))
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
