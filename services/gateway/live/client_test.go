package live_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/pkg/event"
)

// client reads server-sent events as the WHATWG standard says, and remembers the last id.
type client struct {
	http  *http.Client
	url   string
	token string
	last  string // the last event id
}

// stream is one connection of a client.
type stream struct {
	client   *client
	body     io.ReadCloser
	lines    *bufio.Reader
	cancel   context.CancelFunc
	header   http.Header
	comments []string
	retry    string
}

// message is one event that is dispatched.
type message struct{ kind, data, id string }

func (w world) client(token string, subjects ...string) *client {
	return &client{http: w.http.Client(), url: w.http.URL + "/v1/events?" + url.Values{"subject": subjects}.Encode(), token: token}
}

// refused is what the server answered instead of events.
type refused struct {
	status int
	failure
}

func (r *refused) Error() string { return fmt.Sprintf("%d %+v", r.status, r.failure) }

func (c *client) connect(ctx context.Context, method string) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, method, c.url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.last != "" {
		req.Header.Set("Last-Event-ID", c.last)
	}
	res, err := c.http.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &stream{client: c, body: res.Body, lines: bufio.NewReader(res.Body), cancel: cancel, header: res.Header}
	if res.StatusCode == http.StatusOK {
		return s, nil
	}
	defer s.close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	r := &refused{status: res.StatusCode}
	if len(body) > 0 {
		err = json.Unmarshal(body, &r.failure)
	}
	return nil, errors.Join(r, err)
}

// open connects and waits for the position at which the stream begins.
func (c *client) open(t testing.TB) *stream {
	t.Helper()
	s, err := c.connect(t.Context(), http.MethodGet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	before := c.last
	for c.last = ""; c.last == ""; {
		if _, _, err := s.step(); err != nil {
			t.Fatal(err)
		}
	}
	if before != "" && c.last != before {
		t.Errorf("the stream begins at %q, not at %q", c.last, before)
	}
	return s
}

func (s *stream) close() {
	s.cancel()
	_ = s.body.Close()
}

// step reads up to the next empty line or comment. What has no data is not dispatched.
func (s *stream) step() (m message, dispatched bool, err error) {
	var data []string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return message{}, false, err // what is not finished does not count
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			if m.id != "" {
				s.client.last = m.id
			}
			m.data = strings.Join(data, "\n")
			return m, len(data) > 0, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			s.comments = append(s.comments, value)
			if m == (message{}) && data == nil {
				return message{}, false, nil
			}
		case "event":
			m.kind = value
		case "data":
			data = append(data, value)
		case "id":
			m.id = value
		case "retry":
			s.retry = value
		default:
			return message{}, false, fmt.Errorf("no such field: %q", line)
		}
	}
}

// read returns the next message.
func (s *stream) read() (message, error) {
	for {
		if m, dispatched, err := s.step(); dispatched || err != nil {
			return m, err
		}
	}
}

// event reads the next message, which must be an event.
func (s *stream) event() (event.Event, error) {
	m, err := s.read()
	if err != nil {
		return event.Event{}, err
	}
	var e event.Event
	if err := json.Unmarshal([]byte(m.data), &e); err != nil {
		return event.Event{}, fmt.Errorf("%s %s: %w", m.kind, m.data, err)
	}
	if e.Type != m.kind {
		return event.Event{}, fmt.Errorf("event %s is sent as %s", e.Type, m.kind)
	}
	return e, nil
}

// expect reads events, which must be exactly these.
func (s *stream) expect(t testing.TB, want ...event.Event) {
	t.Helper()
	for _, e := range want {
		got, err := s.event()
		if err != nil {
			t.Fatalf("instead of %s %s: %v", e.Type, e.Subject, err)
		}
		if got.ID != e.ID || got.Sequence != e.Sequence || got.Type != e.Type || got.Subject != e.Subject || got.Version != e.Version {
			t.Fatalf("got %s %s version %d at %d, want %s %s version %d at %d",
				got.Type, got.Subject, got.Version, got.Sequence, e.Type, e.Subject, e.Version, e.Sequence)
		}
	}
}

// comment reads until a comment that begins so.
func (s *stream) comment(t testing.TB, begins string) {
	t.Helper()
	for {
		m, dispatched, err := s.step()
		if err != nil || dispatched {
			t.Fatalf("instead of the comment %q: %v, %v", begins, m, err)
		}
		if n := len(s.comments); n > 0 && strings.HasPrefix(s.comments[n-1], begins) {
			return
		}
	}
}

// end reads the last event, which must have this reason, and the end of the stream.
func (s *stream) end(t testing.TB, reason string) {
	t.Helper()
	m, err := s.read()
	if err != nil {
		t.Fatalf("instead of the end: %v", err)
	}
	var body struct{ Reason, Detail string }
	if err := json.Unmarshal([]byte(m.data), &body, json.MatchCaseInsensitiveNames(true)); err != nil || m.kind != "end" || body.Reason != reason || body.Detail == "" {
		t.Fatalf("instead of an end for %s: %v %v", reason, m, err)
	}
	if m, err := s.read(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v %v", m, err)
	}
}

// refusal returns how the server refuses c.
func (c *client) refusal(t testing.TB) *refused {
	t.Helper()
	s, err := c.connect(t.Context(), http.MethodGet)
	if err == nil {
		s.close()
		t.Fatalf("%s was not refused", c.url)
	}
	r, ok := errors.AsType[*refused](err)
	if !ok {
		t.Fatal(err)
	}
	return r
}
