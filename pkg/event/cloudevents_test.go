package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"sluice/pkg/event"
)

func TestDecodeUndoesEncode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := events.Draw(t, "event")
		if err := want.Validate(); err != nil {
			t.Fatal(err)
		}
		header, body := event.Encode(want)
		for name, values := range header {
			if name != strings.ToLower(name) || len(values) != 1 {
				t.Fatalf("header %q has the values %q", name, values)
			}
			if plain := name == "tracestate" || name == "content-type"; !plain && strings.ContainsFunc(values[0], func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
				t.Fatalf("header %s: %q is not encoded", name, values[0])
			}
		}
		got, err := event.Decode(header, body)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, want)
		if got.Source != want.Source {
			t.Fatalf("source is %q, was %q", got.Source, want.Source)
		}
	})
}

// TestHeadersSurviveTheWire sends the header block through the NATS codec.
func TestHeadersSurviveTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := events.Draw(t, "event")
		header, body := event.Encode(want)
		var block bytes.Buffer
		block.WriteString("NATS/1.0\r\n")
		if err := http.Header(header).Write(&block); err != nil {
			t.Fatal(err)
		}
		block.WriteString("\r\n")
		parsed, err := nats.DecodeHeadersMsg(block.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.Decode(parsed, body)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, want)
	})
}

func TestHeaderNamesInAnyCase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := events.Draw(t, "event")
		header, body := event.Encode(want)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shouted := make(nats.Header, len(header))
		for name, values := range header {
			shouted[strings.Map(func(r rune) rune {
				if random.IntN(2) == 0 {
					return r
				}
				return []rune(strings.ToUpper(string(r)))[0]
			}, name)] = values
		}
		got, err := event.Decode(shouted, body)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, want)
	})
}

// TestSDKReadsOurHeaders gives what Encode writes to the SDK's HTTP binding, which
// has the same headers but leaves them percent-encoded.
func TestSDKReadsOurHeaders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := events.Draw(t, "event")
		header, body := event.Encode(e)
		h := make(http.Header, len(header))
		for name, values := range header {
			h.Set(name, values[0])
		}
		got, err := binding.ToEvent(t.Context(), cehttp.NewMessage(h, io.NopCloser(bytes.NewReader(body))))
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		want, err := e.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		wantSameCloudEvent(t, *got, want)
	})
}

// wantSameCloudEvent compares what a binding read, still percent-encoded, with want.
// Trace context travels outside of the attributes in binary mode.
func wantSameCloudEvent(t *rapid.T, got, want cloudevents.Event) {
	t.Helper()
	plain := func(s string) string {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	describe := func(ce cloudevents.Event, plain func(string) string) string {
		extensions := ce.Extensions()
		delete(extensions, "traceparent")
		delete(extensions, "tracestate")
		var b strings.Builder
		fmt.Fprintf(&b, "%q %q %q %q %v %q %q %q", plain(ce.ID()), plain(ce.Source()), plain(ce.Type()), plain(ce.Subject()),
			ce.Time(), plain(ce.DataSchema()), ce.DataContentType(), ce.Data())
		for _, name := range slices.Sorted(maps.Keys(extensions)) {
			fmt.Fprintf(&b, " %s=%q", name, plain(fmt.Sprint(extensions[name])))
		}
		return b.String()
	}
	if g, w := describe(got, plain), describe(want, func(s string) string { return s }); g != w && strings.ReplaceAll(g, "%20", " ") != strings.ReplaceAll(w, "%20", " ") {
		t.Fatalf("the SDK read\n\t%s\nwant\n\t%s", g, w)
	}
}

// TestDecodeReadsSDKHeaders gives what the SDK's HTTP binding writes, which encodes
// nothing, to Decode.
func TestDecodeReadsSDKHeaders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := events.Draw(t, "event")
		e.TraceParent, e.TraceState = "", ""
		ce, err := e.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := cehttp.WriteRequest(binding.WithForceBinary(t.Context()), binding.ToMessage(&ce), request); err != nil {
			t.Fatal(err)
		}
		header := make(nats.Header)
		for name, values := range request.Header {
			if isEscaped(values[0]) {
				return // not to be told from an encoded value
			}
			header[name] = values
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.Decode(header, body)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, e)
	})
}

func isEscaped(s string) bool {
	decoded, err := url.PathUnescape(s)
	return err != nil && strings.Contains(s, "%") || decoded != s
}

func TestJSONFormat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := events.Draw(t, "event")
		e.Sequence = rapid.Uint64Range(0, 1<<62).Draw(t, "sequence")
		written, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var ce cloudevents.Event
		if err := ce.UnmarshalJSON(written); err != nil {
			t.Fatalf("the SDK refuses %s: %v", written, err)
		}
		if err := ce.Validate(); err != nil {
			t.Fatalf("the SDK finds %s invalid: %v", written, err)
		}
		if ce.ID() != e.ID || ce.Type() != e.Type || ce.Subject() != e.Subject || !ce.Time().Equal(e.Time) || !bytes.Equal(ce.Data(), e.Data) {
			t.Fatalf("the SDK reads %s as %v", written, ce)
		}
		var back event.Event
		if err := json.Unmarshal(written, &back); err != nil {
			t.Fatal(err)
		}
		wantSame(t, back, e)

		// The same through Decode, as the SDK writes it; a position from outside counts nothing.
		structured, err := ce.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		e.Sequence = 0
		for _, header := range []nats.Header{
			nil,
			{"Content-Type": {"application/json"}},
			{"content-type": {"application/cloudevents+json"}},
			{"Content-Type": {"application/CloudEvents+json; charset=UTF-8"}},
		} {
			got, err := event.Decode(header, structured)
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, e)
		}
	})
}

// TestJSONFormatOfOtherData: what is not one JSON value travels as base64, and can't
// break out of its place.
func TestJSONFormatOfOtherData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ contentType, data string }{
		{"application/json", `1,"userid":"admin"`},
		{"application/json", `{"a":1,"a":2}`},
		{"application/json", "\xff"},
		{"application/json", ""},
		{"text/plain", "hello"},
		{"text/plain; charset=latin1", "h\xe9llo"},
		{"application/octet-stream", "\x00\x01"},
		{"application/vnd.example+json", `{"a":1}`},
		{"application/vnd.example+json", `broken`},
		{"", `{"a":1}`},
	} {
		e := event.Event{ID: "1", Source: "/s", Type: "a.b", DataContentType: c.contentType, Data: []byte(c.data)}
		written, err := e.MarshalJSON()
		if err != nil {
			t.Errorf("%q %q: %v", c.contentType, c.data, err)
			continue
		}
		var back event.Event
		if err := json.Unmarshal(written, &back); err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		wantSame(t, back, e)
		var ce cloudevents.Event
		if err := ce.UnmarshalJSON(written); err != nil || ce.Validate() != nil || string(ce.Data()) != c.data {
			t.Errorf("the SDK reads %s as %v, %v", written, ce, err)
		}
	}
}
