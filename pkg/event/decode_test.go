package event_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
)

// with returns the headers of a valid event, changed by pairs of name and value; an
// empty value removes the header.
func with(pairs ...string) nats.Header {
	h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/s"}, "ce-type": {"order.created"}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(h, pairs[i])
			continue
		}
		h[pairs[i]] = []string{pairs[i+1]}
	}
	return h
}

func TestPercentDecodingIsLenient(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"plain":              "plain",
		"a%20b":              "a b",
		"%E2%82%AC":          "€",
		"%e2%82%ac":          "€",
		"€":                  "€",
		"a b":                "a b",
		"100%":               "100%",
		"%2":                 "%2",
		"%zz":                "%zz",
		"%%20":               "% ",
		"%25%32%30":          "%20",
		"Euro%20%E2%82%AC %": "Euro € %",
	} {
		if got := decode(t, with("ce-subject", raw), "{}").Subject; got != want {
			t.Errorf("%q is read as %q, want %q", raw, got, want)
		}
	}
}

func TestDecodeReadsEveryAttribute(t *testing.T) {
	t.Parallel()
	got := decode(t, with(
		"CE-Subject", "o-1", "ce-time", "2026-01-02T05:34:05.000000001+05:30", "ce-dataschema", "/schemas/order.created/v2",
		"ce-correlationid", "c", "ce-causationid", "k", "ce-userid", "u", "ce-fingerprint", "f",
		"ce-aggregateversion", "7", "ce-previous", "9,8,1", "ce-step", "2", "Content-Type", "application/json; charset=utf-8",
		"traceparent", "00-1-2-01", "tracestate", "a=%41", "ce-traceparent", "00-9-9-00", "ce-tracestate", "b=c",
		"ce-position", "99", "ce-color", "red", "Nats-Msg-Id", "x",
	), `{"a":1}`)
	wantSame(t, got, event.Event{
		ID: "1", Source: "/s", Type: "order.created", Subject: "o-1", Time: time.Date(2026, 1, 2, 0, 4, 5, 1, time.UTC),
		DataSchema: "/schemas/order.created/v2", DataContentType: "application/json; charset=utf-8", Data: []byte(`{"a":1}`),
		CorrelationID: "c", CausationID: "k", UserID: "u", Fingerprint: "f", Version: 7, Previous: []uint64{9, 8, 1}, Step: 2,
		TraceParent: "00-1-2-01", TraceState: "a=%41", Extensions: map[string]string{"color": "red"},
	})
	if got.Entity() != "order" || got.HistorySubject() != "order.created.o-1" {
		t.Errorf("entity %q, subject %q", got.Entity(), got.HistorySubject())
	}
	if state := decode(t, with("tracestate", "a=b"), "").TraceState; state != "" {
		t.Errorf("a tracestate without a traceparent is %q", state)
	}
}

func TestEveryRefusalIsErrInvalid(t *testing.T) {
	t.Parallel()
	headers := map[string]nats.Header{
		"no id":                     with("ce-id", ""),
		"no source":                 with("ce-source", ""),
		"no type":                   with("ce-type", ""),
		"no specversion":            with("ce-specversion", ""),
		"blank id":                  with("ce-id", "%20"),
		"another specversion":       with("ce-specversion", "0.3"),
		"not a time":                with("ce-time", "yesterday"),
		"a time before year 0":      with("ce-time", "0000-01-01T00:00:00+01:00"),
		"a time after year 9999":    with("ce-time", "9999-12-31T23:59:59-01:00"),
		"negative version":          with("ce-aggregateversion", "-1"),
		"huge version":              with("ce-aggregateversion", "9223372036854775808"),
		"step 0":                    with("ce-step", "0"),
		"step x":                    with("ce-step", "x"),
		"previous 0":                with("ce-previous", "1,0"),
		"previous ascending":        with("ce-previous", "1,2"),
		"previous twice":            with("ce-previous", "2,2"),
		"thirteen previous":         with("ce-previous", "13,12,11,10,9,8,7,6,5,4,3,2,1"),
		"previous with a gap":       with("ce-previous", "3,,1"),
		"control character":         with("ce-subject", "a%0Ab"),
		"C1 control character":      with("ce-subject", "a%C2%85b"),
		"noncharacter":              with("ce-subject", "%EF%BF%BF"),
		"noncharacter FDD0":         with("ce-subject", "\ufdd0"),
		"not UTF-8":                 with("ce-subject", "%ff"),
		"extension not UTF-8":       with("ce-color", "%ff"),
		"extension name":            with("ce-my-color", "red"),
		"extension name data":       with("ce-data", "red"),
		"no extension name":         with("ce-", "red"),
		"source is no URI":          with("ce-source", "http://[::1"),
		"source is an empty URI":    with("ce-source", "#"),
		"dataschema is no URI":      with("ce-dataschema", "%25zz"),
		"content type":              with("content-type", "a/b; c"),
		"content type with control": with("content-type", "text/\x01plain"),
		"trace with control":        with("traceparent", "a\x00b"),
		"header twice":              {"ce-specversion": {"1.0"}, "ce-id": {"1", "2"}, "ce-source": {"/s"}, "ce-type": {"a.b"}},
		"header without a value":    {"ce-specversion": {"1.0"}, "ce-id": {}, "ce-source": {"/s"}, "ce-type": {"a.b"}},
		"header in two cases":       with("CE-ID", "1"),
		"no CloudEvent":             {"Content-Type": {"text/plain"}},
		"unsupported format":        with("content-type", "application/cloudevents+avro"),
	}
	for name, header := range headers {
		if e, err := event.Decode(header, []byte("x")); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: %v, error %v", name, e, err)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	for _, body := range structured[3:] {
		if strings.Contains(body, `"relative"`) || strings.Contains(body, `"previous"`) {
			continue // accepted
		}
		if e, err := event.Decode(nil, []byte(body)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: %v, error %v", body, e, err)
		}
	}
	for _, body := range []string{
		`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","position":"x"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","step":-1}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"a.b\u0000"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data":{"a":1,"a":2}}`,
		"{\"specversion\":\"1.0\",\"id\":\"\xff\",\"source\":\"/s\",\"type\":\"a.b\"}",
	} {
		var e event.Event
		if err := e.UnmarshalJSON([]byte(body)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: %v, error %v", body, e, err)
		}
	}
}

func TestValidateRefusesWhatEncodeCannotCarry(t *testing.T) {
	t.Parallel()
	valid := event.Event{ID: "1", Source: "/s", Type: "a.b"}
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(e *event.Event){
		"extension of an attribute's name": func(e *event.Event) { e.Extensions = map[string]string{"subject": "x"} },
		"extension in upper case":          func(e *event.Event) { e.Extensions = map[string]string{"Color": "x"} },
		"line break in the user":           func(e *event.Event) { e.UserID = "x\r\nNats-Rollup: all" },
		"line break in the content type":   func(e *event.Event) { e.DataContentType = "text/plain\r\nNats-Rollup: all" },
		"data that is a CloudEvent":        func(e *event.Event) { e.DataContentType = "application/cloudevents+json" },
		"year 10000":                       func(e *event.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"blank subject":                    func(e *event.Event) { e.Subject = " " },
	} {
		e := valid
		change(&e)
		if err := e.Validate(); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := e.CloudEvent(); name == "blank subject" && !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s in JSON format: %v", name, err)
		}
	}
}

func TestNamesOnSubjects(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"order.created", "a.b", "a-1.b-2"} {
		if err := event.CheckType(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "order", "order.", ".created", "Order.created", "order.created.x", "order.*", "order.>", "order.cre ated", "order.created\n", strings.Repeat("a", 65) + ".b"} {
		if err := event.CheckType(bad); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("type %q: %v", bad, err)
		}
	}
	for _, good := range []string{"a", "A_b-9", strings.Repeat("x", 128)} {
		if err := event.CheckID(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "a.b", "*", ">", "a b", "ü", "a\n", strings.Repeat("x", 129)} {
		if err := event.CheckID(bad); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("id %q: %v", bad, err)
		}
	}
}

// TestContentType: some producers write the attribute and not the header, which counts
// when both are there.
func TestContentType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header nats.Header
		want   string
	}{
		{with("ce-datacontenttype", "text/plain"), "text/plain"},
		{with("ce-datacontenttype", "text/plain", "content-type", "application/json"), "application/json"},
		{with(), ""},
	} {
		if got := decode(t, c.header, "{}").DataContentType; got != c.want {
			t.Errorf("%v has content type %q, want %q", c.header, got, c.want)
		}
	}
}
