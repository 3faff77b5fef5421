package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"sluice/pkg/bus"
)

// publishRaw sends a message past the client library, which refuses to build some of
// what an attacker can send.
func publishRaw(t *testing.T, w *world, subject, header, body string) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	publish := fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(header), len(header)+len(body), header, body)
	if header == "" {
		publish = fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(body), body)
	}
	if _, err := conn.Write([]byte(`CONNECT {"headers":true,"verbose":false,"pedantic":false}` + "\r\n" + publish + "PING\r\n")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for chunk := make([]byte, 4096); !bytes.Contains(got, []byte("PONG")); {
		n, err := conn.Read(chunk)
		if err != nil {
			t.Fatalf("the server answers %q, %v", got, err)
		}
		got = append(got, chunk[:n]...)
	}
}

// Whatever arrives becomes a dead letter, and none of its headers acts on the way.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything)
	start(t, w.js, bus.Config{}, bus.OnMessage(func(_ context.Context, m bus.Message) error {
		if string(m.Data) == "last" {
			return nil
		}
		return bus.Drop(errors.New("no\x1b[31m good"))
	}))
	head := func(lines ...string) string {
		return "NATS/1.0\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	}
	hostile := []struct{ subject, header, body string }{
		{"order.placed", "", "first"},
		{"order.placed", head("Status: 409", "Description: Consumer Deleted"), ""},
		{"order.placed", head("Status: 100"), ""},
		{"order.placed", "NATS/1.0 408 Request Timeout\r\n\r\n", ""},
		{"order.placed", "NATS/1.0 400 Bad Request\r\n\r\n", ""},
		{"order.placed", head("nats-rollup: all", "Nats-Msg-Id: mailer.ORDERS.1"), "x"},
		{"order.placed", head("Nats-Pin-Id: 1", "Nats-Pending-Messages: 99999"), ""},
		{"order.placed", head("Bad Key: 1", "K\x01: v", "Trail: x  \t", ":empty", "Utf: \xff\xfe"), "x"},
		{"order.placed", head("Dead-Letter-Id: mine", "Original-Original-X: 1", "Dead-Letter-Encoded: %zz"), "x"},
		{"order.placed", head("traceparent: nonsense", "ce-id: 1", "CE-ID: 2"), "{"},
		{"order.placed", "NATS/1.0\r\nno colon at all\r\n\r\n", "x"},
		{"order.placed", head("Large: " + strings.Repeat("x", 63<<10)), "x"},
		{"order." + strings.Repeat("y", 3900), "", "long"},
		{"order.\x01\xff", "", "x"},
	}
	for _, m := range hostile {
		publishRaw(t, w, m.subject, m.header, m.body)
	}
	info := func() *jetstream.StreamInfo {
		stream, err := w.js.Stream(t.Context(), "ORDERS")
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo()
	}
	n := len(hostile)
	eventually(t, func() string {
		if took := info().State.LastSeq; took != uint64(n) {
			return fmt.Sprintf("the stream took %d of %d messages", took, n)
		}
		return ""
	})
	w.settled(t, uint64(n))
	letters := readLetters(t, w, n)
	for _, l := range letters {
		m := hostile[l.Sequence-1]
		if l.Subject != m.subject || string(l.Data) != m.body || l.Error != "no [31m good" || l.Consumer != "mailer" {
			t.Errorf("letter of message %d: %.200v", l.Sequence, fmt.Sprintf("%+v", l))
		}
		if truncated := l.Sequence == 12; truncated != (l.Truncated == "headers") {
			t.Errorf("letter of message %d: truncated %q", l.Sequence, l.Truncated)
		}
	}
	for _, x := range []struct {
		index       int
		name, value string
	}{
		{1, "Description", "Consumer Deleted"},
		{5, "nats-rollup", "all"},
		{7, "Bad Key", "1"},
		{7, "K\x01", "v"},
		{7, "Trail", "x  \t"},
		{7, "Utf", "\xff\xfe"},
		{8, "Original-Original-X", "1"},
		{8, "Dead-Letter-Id", "mine"},
	} {
		if got := letters[x.index].Header[x.name]; len(got) != 1 || got[0] != x.value {
			t.Errorf("message %d: header %q is %q", x.index, x.name, got)
		}
	}
	publishRaw(t, w, "order.placed", "", "last")
	w.settled(t, uint64(n)+1)
}

// readLetters returns the n letters by the sequence of their message.
func readLetters(t *testing.T, w *world, n int) []bus.DeadLetter {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != uint64(n) {
		t.Fatalf("%d letters, want %d", got, n)
	}
	letters := make([]bus.DeadLetter, n)
	for i := range n {
		raw, err := stream.GetMsg(t.Context(), uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		l, err := bus.ParseDeadLetter(raw.Header, raw.Data)
		if err != nil {
			t.Fatal(err)
		}
		letters[l.Sequence-1] = l
	}
	return letters
}

// The headers that make a JetStream publish special do nothing in a letter.
func TestHostileHeadersDoNotAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := bus.PublishDeadLetter(t.Context(), w.js, bus.DeadLetter{Consumer: "mailer", Stream: "S", Sequence: 1, Subject: "a.b"}); err != nil {
		t.Fatal(err)
	}
	header := nats.Header{
		"Nats-Rollup": {"all"}, "Nats-TTL": {"1s"}, "Nats-Msg-Id": {"mailer.S.1"}, "Nats-Expected-Stream": {"OTHER"},
		"Nats-Expected-Last-Sequence": {"999"}, "Nats-Expected-Last-Subject-Sequence": {"999"}, "Nats-Expected-Last-Msg-Id": {"x"},
		"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"deadletter.x"}, "Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"7"},
		"Nats-Incr": {"+1"}, "Nats-Required-Api-Level": {"99"}, "Dead-Letter-Reason": {"mine"},
	}
	d := bus.DeadLetter{Consumer: "mailer", Reason: bus.ReasonDropped, Stream: "S", Sequence: 2, Subject: "a.*.>..b c", Header: header, Data: []byte("x")}
	for range 2 { // the second is a duplicate
		if err := bus.PublishDeadLetter(t.Context(), w.js, d); err != nil {
			t.Fatal(err)
		}
	}
	letters := readLetters(t, w, 2)
	if l := letters[1]; !reflect.DeepEqual(l.Header, header) || l.Subject != d.Subject || l.Reason != bus.ReasonDropped {
		t.Errorf("letter %+v", l)
	}
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := stream.GetMsg(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if raw.Subject != "deadletter.mailer.a._._._._" {
		t.Errorf("subject %s", raw.Subject)
	}
}

func TestLetterThatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stream, err := w.js.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}, MaxMsgSize: 100 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("x"), 300<<10)
	if err := bus.PublishDeadLetter(t.Context(), w.js, bus.DeadLetter{
		Consumer: "mailer", Stream: "S", Sequence: 1, Subject: "a.b", Header: nats.Header{"a": {"b"}}, Data: large,
	}); err != nil {
		t.Fatal(err)
	}
	raw, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := bus.ParseDeadLetter(raw.Header, raw.Data)
	if err != nil || l.Truncated != "data" || l.Header != nil || len(l.Data) < 32<<10 || !bytes.HasPrefix(large, l.Data) {
		t.Errorf("%d bytes, truncated %q, header %v, %v", len(l.Data), l.Truncated, l.Header, err)
	}
}

// A letter that cannot be stored is neither skipped nor forgotten.
func TestLetterWaitsForItsStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything)
	if err := w.js.DeleteStream(t.Context(), bus.DeadLetterStream); err != nil {
		t.Fatal(err)
	}
	c := start(t, w.js, bus.Config{}, bus.OnMessage(func(context.Context, bus.Message) error { return bus.Drop(errFlaky) }))
	place(t, w.js, "o-1", 1)
	eventually(t, func() string {
		if err := c.Health(); err == nil || !strings.Contains(err.Error(), "dead letter") {
			return "health says nothing of the letter"
		}
		return ""
	})
	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}}); err != nil {
		t.Fatal(err)
	}
	if l := w.letters(t, 1)[0]; l.Reason != bus.ReasonDropped || l.Error != "flaky" {
		t.Errorf("letter %+v", l)
	}
	w.settled(t, 1)
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	fine := func() nats.Header {
		return nats.Header{
			"Dead-Letter-Id": {"1"}, "Dead-Letter-Consumer": {"c"}, "Dead-Letter-Stream": {"S"},
			"Dead-Letter-Attempts": {"1"}, "Dead-Letter-Sequence": {"1"},
		}
	}
	if _, err := bus.ParseDeadLetter(fine(), nil); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Dead-Letter-Id": "", "Dead-Letter-Attempts": "x", "Dead-Letter-Sequence": "-1",
		"Dead-Letter-First-At": "now", "Dead-Letter-Last-At": "now", "Dead-Letter-Encoded": "%zz=1",
	} {
		h := fine()
		h[name] = []string{value}
		if _, err := bus.ParseDeadLetter(h, nil); !errors.Is(err, bus.ErrNotALetter) {
			t.Errorf("%s %q: %v", name, value, err)
		}
	}
}

// Any message whatever comes back from its dead letter as it was.
func TestLetterRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	text := rapid.OneOf(
		rapid.StringMatching(`[A-Za-z-]{1,12}`), rapid.String(), rapid.SampledFrom([]string{"Nats-Rollup", "Original-", "Dead-Letter-Id", " x ", "a\r\nb", "\xff"}),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	sequence := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		sequence++
		header := nats.Header(rapid.MapOfN(text, rapid.SliceOfN(text, 1, 3), 0, 6).Draw(rt, "header"))
		d := bus.DeadLetter{
			Consumer: rapid.StringMatching(`[a-z-]{1,20}`).Draw(rt, "consumer"), Reason: bus.ReasonAttempts, Error: "why",
			Attempts: rapid.IntRange(0, 100).Draw(rt, "attempts"), Stream: "ORDERS", Sequence: sequence,
			Subject: rapid.StringMatching(`[!-~]{1,40}`).Draw(rt, "subject"), Header: header, Data: rapid.SliceOf(rapid.Byte()).Draw(rt, "data"),
			FirstAt: time.Unix(rapid.Int64Range(1, 1<<33).Draw(rt, "first"), 5).UTC(), LastAt: time.Unix(1<<33, 0).UTC(),
		}
		if err := bus.PublishDeadLetter(t.Context(), w.js, d); err != nil {
			rt.Fatal(err)
		}
		raw, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := bus.ParseDeadLetter(raw.Header, raw.Data)
		if err != nil {
			rt.Fatal(err)
		}
		if got.ID == "" {
			rt.Fatal("no id")
		}
		got.ID = ""
		if len(got.Header) == 0 && len(header) == 0 {
			got.Header, d.Header = nil, nil
		}
		if len(got.Data) == 0 && len(d.Data) == 0 {
			got.Data, d.Data = nil, nil
		}
		if !reflect.DeepEqual(got, d) {
			rt.Fatalf("published %+v\nparsed %+v", d, got)
		}
	})
}
