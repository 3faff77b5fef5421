package endpoint_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
)

// What the command line shows: it says nothing of what it has read.
func TestStreamToWhoeverListens(t *testing.T) {
	t.Parallel()
	srv, _ := serveStream(t, endpoint.ServiceConfig{}, rows)
	nc := srv.Connect(t)
	for _, c := range []struct {
		request, status string
		lines           int
	}{
		{`{"count":5000}`, "", 5000},
		{`{"count":-1}`, "400", 0},
		{`{"count":1000,"pad":"` + strings.Repeat("x", 40_000) + `"}`, "400", endpoint.MaxUncredited},
	} {
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest(export.Subject(), inbox, []byte(c.request)); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for {
			msg, err := sub.NextMsgWithContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if msg.Header.Get(endpoint.HeaderCorrelationID) == "" {
				t.Errorf("headers %v", msg.Header)
			}
			if len(msg.Data) == 0 {
				if status := msg.Header.Get("Nats-Service-Error-Code"); status != c.status {
					t.Errorf("%.40s ended with %q: %v", c.request, status, msg.Header)
				}
				break
			}
			lines += bytes.Count(msg.Data, []byte("\n"))
		}
		if lines != c.lines {
			t.Errorf("%.40s: %d lines, want %d", c.request, lines, c.lines)
		}
	}
}

func TestStreamShowsItself(t *testing.T) {
	t.Parallel()
	srv, _ := serveStream(t, endpoint.ServiceConfig{}, rows)
	msg, err := srv.Connect(t).RequestWithContext(t.Context(), "$SRV.INFO.order", nil)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		t.Fatal(err)
	}
	if md := info.Endpoints[0].Metadata; md["streaming"] != "true" || md["idempotent"] != "true" || !strings.Contains(md["schema.response"], `"n"`) {
		t.Errorf("metadata %v", md)
	}
	if md := info.Endpoints[1].Metadata; md["streaming"] != "" {
		t.Errorf("metadata of a call %v", md)
	}
}
