package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// retryHint is how long a reader waits before it comes back.
const retryHint = 2 * time.Second

// errSlow says that a reader did not take what it was sent in time.
var errSlow = errors.New("too slow")

// connection is one reader and what it was sent.
type connection struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration

	buffer bytes.Buffer
	at     positions
	paused map[string]bool // streams that can't be read just now
}

func newConnection(w http.ResponseWriter, cfg Config) *connection {
	return &connection{
		w: w, control: http.NewResponseController(w), patience: cfg.Patience,
		at: make(positions), paused: make(map[string]bool),
	}
}

// stream sends what comes after starts until there is a reason to stop.
func (c *connection) stream(req *http.Request, h *Handler, starts []start) {
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c.w.WriteHeader(http.StatusOK)
	if req.Method == http.MethodHead {
		return
	}
	for _, s := range starts {
		c.at[s.history.Stream.Name] = s.after
	}
	ctx, cancel := context.WithCancel(req.Context())
	out := make(chan piece)
	var following sync.WaitGroup
	for _, s := range starts {
		b, leave := h.join(s)
		f := &follower{start: s, broadcast: b, out: out}
		following.Go(func() {
			defer leave()
			f.run(ctx)
		})
	}
	err := c.send(req, h, out)
	cancel()
	following.Wait()
	switch {
	case errors.Is(err, errSlow):
		h.cfg.Log.InfoContext(req.Context(), "a reader of live events is cut off", "error", err)
	case err != nil:
		h.cfg.Log.DebugContext(req.Context(), "a reader of live events is gone", "error", err)
	}
}

// send writes until the reader is gone, or is too slow, or was told that this is the
// end. An error is a failed write.
func (c *connection) send(req *http.Request, h *Handler, out <-chan piece) error {
	fmt.Fprintf(&c.buffer, "retry: %d\n", retryHint.Milliseconds())
	c.mark()
	if err := c.flush(); err != nil {
		return err
	}
	heartbeat := time.NewTicker(h.cfg.Heartbeat)
	defer heartbeat.Stop()
	for ended := false; !ended; {
		select {
		case <-req.Context().Done():
			return nil
		case <-h.draining:
			ended = c.end("shutdown", "the gateway is going down: come back")
		case <-heartbeat.C:
			if !h.trusts(req) {
				ended = c.expired()
				break
			}
			c.comment("heartbeat")
			c.mark()
		case p := <-out:
			var err error
			if ended, err = c.take(req, h, p); err != nil {
				return err
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// take writes what p says, and reports whether it is the end.
func (c *connection) take(req *http.Request, h *Handler, p piece) (ended bool, err error) {
	if p.end != "" {
		return c.end("gone", p.end), nil
	}
	if p.paused != c.paused[p.stream] {
		c.paused[p.stream] = p.paused
		if p.paused {
			c.comment(p.stream + " can't be read just now; what comes is sent when it can")
		} else {
			c.comment(p.stream + " can be read again")
		}
	}
	if len(p.entries) > 0 && !h.trusts(req) {
		return c.expired(), nil
	}
	for _, e := range p.entries {
		c.at[p.stream] = e.sequence
		c.buffer.Write(e.frame)
		c.mark()
		if c.buffer.Len() >= pieceBytes {
			if err := c.flush(); err != nil {
				return false, err
			}
		}
	}
	c.at[p.stream] = p.reached
	return false, nil
}

// mark ends a server-sent event with the position as its id. Clients do not show one
// without data, but remember the id.
func (c *connection) mark() {
	c.buffer.WriteString("id: " + c.at.String() + "\n\n")
}

func (c *connection) comment(text string) { c.buffer.WriteString(": " + text + "\n") }

func (c *connection) expired() bool {
	return c.end("token", "the token is no good any more: come back with another")
}

// end writes the event after which the stream is closed. It returns true.
func (c *connection) end(reason, detail string) bool {
	body, err := json.Marshal(struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}{reason, detail})
	if err != nil {
		panic(err) // two strings
	}
	c.buffer.WriteString("event: end\ndata: " + string(body) + "\n")
	c.mark()
	return true
}

// flush sends what is written. The reader has to take it in time, whatever limit the
// server has for other answers.
func (c *connection) flush() error {
	if c.buffer.Len() == 0 {
		return nil
	}
	deadline := time.Now().Add(c.patience)
	if err := c.control.SetWriteDeadline(deadline); err != nil {
		return fmt.Errorf("limit the time to write: %w", err)
	}
	_, err := c.w.Write(c.buffer.Bytes())
	if err == nil {
		err = c.control.Flush()
	}
	switch {
	case err != nil && !time.Now().Before(deadline): // HTTP/2 does not say why
		return fmt.Errorf("write events: %w: %w", errSlow, err)
	case err != nil:
		return fmt.Errorf("write events: %w", err)
	}
	c.buffer.Reset()
	// While nothing is written there is no hurry.
	if err := c.control.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("limit the time to write: %w", err)
	}
	return nil
}
