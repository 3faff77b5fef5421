package live

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// Config is what a handler needs.
type Config struct {
	Histories []History // what can be listened to
	JetStream jetstream.JetStream
	Caller    *endpoint.Caller // asks services who may see what
	// Identify returns the request's context with who asks. It is called again, for the
	// same request, before anything is sent.
	Identify func(*http.Request) (context.Context, error)
	// Fail answers a request with an error. [ErrGone] is one of those.
	Fail func(http.ResponseWriter, *http.Request, error)

	Log       *slog.Logger  // default: discards
	Timeout   time.Duration // to begin a stream; default 10 s
	Heartbeat time.Duration // how often a silent stream shows that it lives; default 15 s
	Patience  time.Duration // a reader that does not take 64 KiB in it is cut off; default 10 s
	PerCaller int           // streams that one caller may have open; default 10
	Total     int           // streams of all callers together; default 1,000
}

// History is one history that can be listened to.
type History struct {
	Stream eventstore.Stream
	Events *event.Registry
	// Get is the endpoint that answers {"id": …} to those who may see an aggregate, and
	// to nobody else. Without one, only operators listen to this history.
	Get endpoint.Spec
}

// Handler answers GET with server-sent events.
type Handler struct {
	cfg       Config
	histories map[string]*history // by entity
	draining  chan struct{}       // closed when the gateway stops
	drain     func()              // closes it

	mu         sync.Mutex
	perCaller  int                   // streams that may be open, as Limit says
	total      int                   // the same, for all
	open       int                   // streams
	callers    map[string]int        // streams of each
	broadcasts map[string]*broadcast // of the histories that somebody listens to, by entity
}

// New returns a handler.
func New(cfg Config) *Handler {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 15*time.Second)
	cfg.Patience = cmp.Or(cfg.Patience, 10*time.Second)
	cfg.PerCaller = cmp.Or(cfg.PerCaller, 10)
	cfg.Total = cmp.Or(cfg.Total, 1000)
	h := &Handler{
		cfg: cfg, histories: make(map[string]*history, len(cfg.Histories)), draining: make(chan struct{}),
		callers: make(map[string]int), broadcasts: make(map[string]*broadcast),
	}
	h.perCaller, h.total = cfg.PerCaller, cfg.Total
	h.drain = sync.OnceFunc(func() { close(h.draining) })
	for _, history := range cfg.Histories {
		h.histories[history.Stream.Entity] = newHistory(history, cfg.JetStream, cfg.Log)
	}
	return h
}

// Open returns how many streams are open.
func (h *Handler) Open() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// Drain ends all streams politely and lets no new ones begin.
func (h *Handler) Drain() { h.drain() }

// Limit changes how many streams may be open, PerCaller and Total of [Config], for those
// that begin from now on.
func (h *Handler) Limit(perCaller, total int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.perCaller, h.total = perCaller, total
}

// ServeHTTP streams events until the reader goes, its token is no good any more, it is
// too slow, or the handler is drained.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if err := h.serve(w, req); err != nil {
		h.cfg.Fail(w, req, err)
	}
}

// serve streams what req asks for. An error means that nothing was sent.
func (h *Handler) serve(w http.ResponseWriter, req *http.Request) error {
	ctx, err := h.cfg.Identify(req)
	if err != nil {
		return err
	}
	id := auth.From(ctx)
	if err := endpoint.SignedIn.Check(id); err != nil {
		return err
	}
	if req.ContentLength != 0 {
		return endpoint.Invalid("a " + http.MethodGet + " has no body")
	}
	asked, err := h.parse(req)
	if err != nil {
		return err
	}
	release, err := h.admit(id)
	if err != nil {
		return err
	}
	defer release()
	starts, err := h.begin(ctx, asked)
	if err != nil {
		return err
	}
	newConnection(w, h.cfg).stream(req, h, starts)
	return nil
}

// trusts reports whether the token that a stream began with is still good.
func (h *Handler) trusts(req *http.Request) bool {
	_, err := h.cfg.Identify(req)
	return err == nil
}

// begin returns where each history begins for somebody who may see what is asked for.
func (h *Handler) begin(ctx context.Context, asked request) ([]start, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	if err := h.permit(ctx, asked.wanted); err != nil {
		return nil, err
	}
	starts := make([]start, 0, len(asked.wanted))
	for _, entity := range asked.wanted.entities() {
		s, err := h.histories[entity].start(ctx, asked.after)
		if err != nil {
			return nil, err
		}
		s.wanted = asked.wanted[entity]
		starts = append(starts, s)
	}
	return starts, nil
}

// admit counts a stream in, if there is room for it. release counts it out.
func (h *Handler) admit(id auth.Identity) (release func(), err error) {
	caller := "user " + id.User
	if id.Service != "" {
		caller = "service " + id.Service
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	const comeBack = 5 * time.Second
	switch {
	case h.drained():
		return nil, endpoint.Unavailable("the gateway is going down").After(time.Second)
	case h.callers[caller] >= h.perCaller:
		return nil, endpoint.RateLimited("you have as many event streams open as one caller may", comeBack)
	case h.open >= h.total:
		return nil, endpoint.Unavailable("as many event streams are open as this gateway serves").After(comeBack)
	}
	h.callers[caller]++
	h.open++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open--
		if h.callers[caller]--; h.callers[caller] == 0 {
			delete(h.callers, caller)
		}
	}, nil
}

func (h *Handler) drained() bool {
	select {
	case <-h.draining:
		return true
	default:
		return false
	}
}

// join returns the broadcast of the history that s is about, which runs until everybody
// who joined has left. leave waits for the end of what it ends.
func (h *Handler) join(s start) (b *broadcast, leave func()) {
	entity := s.history.Stream.Entity
	h.mu.Lock()
	defer h.mu.Unlock()
	b = h.broadcasts[entity]
	if b == nil || b.ended() || !b.began.Equal(s.began) {
		b = newBroadcast(s)
		h.broadcasts[entity] = b
	}
	b.listeners++
	return b, func() {
		h.mu.Lock()
		b.listeners--
		last := b.listeners == 0
		if last && h.broadcasts[entity] == b {
			delete(h.broadcasts, entity)
		}
		h.mu.Unlock()
		if last {
			b.stop()
		}
	}
}
