package event_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
)

// FuzzDecode gives Decode any header block and body.
func FuzzDecode(f *testing.F) {
	const whole = "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: a.b\r\n"
	for _, header := range []string{
		"",
		"content-type: application/cloudevents+json\r\n",
		whole,
		whole + "content-type: application/json\r\nce-time: 2026-01-02T03:04:05.678901234+05:30\r\nce-previous: 9,8,7\r\nce-step: 2\r\nce-aggregateversion: 4\r\n",
		whole + "CE-Subject: %C3%BC%2\r\ntraceparent: 00-1-2-03\r\nTraceState: a=b c%\r\nce-tracestate: x\r\n",
		whole + "content-type: application/cloudevents+xml\r\n",
		whole + "ce-datacontenttype: text/plain\r\nce-position: 7\r\nce-x: \r\n",
		whole + "ce-time: 9999-12-31T23:59:59-23:59\r\n",
		whole + "ce-dataschema: /schemas/a.b/v1\r\nce-dataschema: /schemas/a.b/v2\r\n",
	} {
		f.Add(header, []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","subject":"x","data":{"n":1}}`))
		f.Add(header, []byte(``))
	}
	f.Fuzz(func(t *testing.T, block string, body []byte) {
		header, err := nats.DecodeHeadersMsg([]byte("NATS/1.0\r\n" + block + "\r\n"))
		if err != nil {
			return
		}
		checkDecode(t, header, body)
	})
}

// FuzzStructured gives Decode any body as an event in JSON format.
func FuzzStructured(f *testing.F) {
	for _, body := range structured {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checkDecode(t, nats.Header{"content-type": {"application/cloudevents+json"}}, body)
	})
}

// structured are bodies on the border of the JSON format.
var structured = []string{
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","subject":"x","time":"2026-01-02T03:04:05Z","data":{"n":1}}`,
	`{"data":"aGk=","specversion":"1.0","id":"1","source":"/s","type":"a.b","datacontenttype":"text/plain"}`,
	`{"data_base64":"aGk=","specversion":"1.0","id":"1","source":"/s","type":"a.b"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data_base64":5}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data_base64":null}`,
	`{"specversion":"1.0","data_base64":{},"id":"1","source":"/s","type":"a.b"}`,
	`{"specversion":"0.3","id":"1","source":"/s","type":"a.b"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","n":1,"yes":true,"aggregateversion":"3","step":1,"previous":"2,1","position":"9"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","x":{"y":1}}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","dataschema":"relative"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","datacontenttype":"application/cloudevents+json","data":{}}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","time":"9999-12-31T23:59:59-23:59"}`,
	`{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"a.b"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","":1,"userid":"u"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"a.b"}{}`,
	`[]`, `null`, `"x"`, ``,
}

// checkDecode requires that a refusal says so with ErrInvalid, and that whatever is
// accepted is the same event after it was written again, in either mode.
func checkDecode(t *testing.T, header nats.Header, body []byte) {
	t.Helper()
	e, err := event.Decode(header, body)
	if err != nil {
		if !errors.Is(err, event.ErrInvalid) {
			t.Fatalf("error does not wrap ErrInvalid: %v", err)
		}
		return
	}
	if err := e.Validate(); err != nil {
		t.Fatalf("accepted, but %v", err)
	}
	encoded, data := event.Encode(e)
	again, err := event.Decode(encoded, data)
	if err != nil {
		t.Fatalf("not read again: %v", err)
	}
	wantSame(t, again, e)

	written, err := e.MarshalJSON()
	if err != nil {
		if e.DataSchema != "" && !strings.Contains(e.DataSchema, ":") {
			return // the JSON format needs a scheme there
		}
		t.Fatalf("not written as JSON: %v", err)
	}
	var back event.Event
	if err := json.Unmarshal(written, &back); err != nil {
		t.Fatalf("%s is not read again: %v", written, err)
	}
	wantSame(t, back, e)
}
