package deadletter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"sluice/pkg/bus"
)

// Whatever a letter holds, it can be shown, and fits into a message.
func TestShow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data         []byte
		data64, text string // what is shown
	}{
		"nothing":           {},
		"JSON":              {data: []byte(`{"a": 1.10}`), text: `{"a":1.10}`},
		"an empty object":   {data: []byte(`{}`), text: `{}`},
		"null":              {data: []byte(`null`), text: `null`},
		"text":              {data: []byte("grüße\n"), text: `"grüße\n"`},
		"a member twice":    {data: []byte(`{"a":1,"a":2}`), text: `"{\"a\":1,\"a\":2}"`},
		"bytes":             {data: []byte{0xff, 0}, data64: "/wA="},
		"much":              {data: bytes.Repeat([]byte("x"), largestData+1)},
		"much that escapes": {data: make([]byte, largestData), data64: strings.Repeat("A", 4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := strings.Repeat("\xff\x01", 15<<10)
			shown, size := show(bus.DeadLetter{
				ID: "1", Consumer: "c\xff", Error: "e\xff", Subject: bad[:4<<10], Data: c.data,
				Header: nats.Header{"a\xff": {bad}, "a\xfe": {"x"}},
			})
			out, err := json.Marshal(shown)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > 1<<20 || size > len(out)+letterSize {
				t.Errorf("%d bytes, said to be %d", len(out), size)
			}
			var got struct {
				Size   int            `json:"data_size"`
				Data   jsontext.Value `json:"data"`
				Binary string         `json:"data_base64"`
				Header map[string]any `json:"headers"`
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			if got.Size != len(c.data) || string(got.Data) != c.text || !strings.HasPrefix(got.Binary, c.data64) || (got.Binary == "") != (c.data64 == "") {
				t.Errorf("shown as %.200s", out)
			}
			if values, ok := got.Header["a\uFFFD"].([]any); !ok || len(values) != 2 {
				t.Errorf("headers %.200v", got.Header)
			}
		})
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	for _, p := range []uint64{1, 127, 128, 1 << 40, ^uint64(0)} {
		if got, err := position(cursor(p)); err != nil || got != p {
			t.Errorf("%d became %d, %v", p, got, err)
		}
	}
	for _, bad := range []string{"A", "?", "AA", "gA", "AQA", "__________________8"} {
		if got, err := position(bad); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}
