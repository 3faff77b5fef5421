package gateway

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// maxClients is how many clients a limit remembers. Of more, those that have not come
// for the longest time start anew.
const maxClients = 50_000

// limits are how often clients may come. They do not change; others take their place.
type limits struct {
	trusted  []netip.Prefix
	client   *limiter // nil: no limit, as below
	routes   map[string]*limiter
	sessions *limiter
}

// newLimits returns the limits of the settings. Where they are those before, what clients
// have used counts on.
func newLimits(s Settings, before *limits) *limits {
	if before == nil {
		before = &limits{}
	}
	l := &limits{
		trusted: s.TrustedProxies, client: newLimiter(s.Client, before.client), sessions: newLimiter(s.Sessions, before.sessions),
		routes: make(map[string]*limiter, len(s.Routes)),
	}
	for _, r := range s.Routes {
		l.routes[r.Route] = newLimiter(r.Rate, before.routes[r.Route])
	}
	return l
}

// Limit changes the limits that may change while the gateway runs, those whose fields have
// the tag reload: for the requests that come from now on. Call it once at a time.
func (g *Gateway) Limit(s Settings) {
	s = s.withDefaults()
	g.limits.Store(newLimits(s, g.limits.Load()))
	if g.live != nil {
		g.live.Limit(s.Events.PerCaller, s.Events.Total)
	}
}

// limited puts the limits of the route before h. Logging in is limited
// by address, since whoever does it is nobody yet.
func (g *Gateway) limited(pattern string, h http.Handler) http.Handler {
	loggingIn := pattern == http.MethodPost+" "+sessionsPath
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		l := g.limits.Load()
		if loggingIn && l.sessions != nil && !g.allowed(w, req, l.sessions, l.address(req)) {
			return
		}
		if route := l.routes[pattern]; route != nil && !g.allowed(w, req, route, g.client(req)) {
			return
		}
		h.ServeHTTP(w, req)
	})
}

// client names who a request counts for: the user or service that its token proves,
// else the address that it came from.
func (g *Gateway) client(req *http.Request) string {
	if ctx, err := g.identify(req); err == nil {
		switch id := auth.From(ctx); {
		case id.User != "":
			return "user " + id.User
		case id.Service != "":
			return "service " + id.Service
		}
	}
	return g.limits.Load().address(req)
}

// allowed counts the request, and answers it when it is one too many.
func (g *Gateway) allowed(w http.ResponseWriter, req *http.Request, l *limiter, client string) bool {
	left, wait := l.take(client, time.Now())
	h := w.Header()
	h.Set("RateLimit-Limit", strconv.Itoa(l.burst))
	h.Set("RateLimit-Remaining", strconv.Itoa(int(max(left, 0))))
	h.Set("RateLimit-Reset", strconv.FormatInt(seconds(l.until(left)), 10))
	if wait == 0 {
		return true
	}
	g.fail(w, req, endpoint.RateLimited("too many requests: slow down", wait))
	return false
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// limiter has a bucket of tokens for each client.
type limiter struct {
	rate    rate.Limit
	burst   int
	buckets *lru.Cache[string, *rate.Limiter]
}

// newLimiter returns nil without a limit, and the one before when that is the same.
func newLimiter(r Rate, before *limiter) *limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	burst := r.Burst
	if burst == 0 {
		burst = max(int(math.Ceil(r.PerSecond)), 1)
	}
	if before != nil && before.rate == rate.Limit(r.PerSecond) && before.burst == burst {
		return before
	}
	buckets, err := lru.New[string, *rate.Limiter](maxClients)
	if err != nil {
		panic("gateway: " + err.Error()) // only for a size below 1
	}
	return &limiter{rate: rate.Limit(r.PerSecond), burst: burst, buckets: buckets}
}

// take takes a token of the client's. It returns how many are left, or how long there
// will be none.
func (l *limiter) take(client string, now time.Time) (left float64, wait time.Duration) {
	bucket, ok := l.buckets.Get(client)
	if !ok {
		bucket = rate.NewLimiter(l.rate, l.burst)
		if other, there, _ := l.buckets.PeekOrAdd(client, bucket); there {
			bucket = other
		}
	}
	if bucket.AllowN(now, 1) {
		return bucket.TokensAt(now), 0
	}
	left = bucket.TokensAt(now)
	return left, max(time.Duration((1-left)/float64(l.rate)*float64(time.Second)), time.Millisecond)
}

// until returns how long it takes until the bucket is full again.
func (l *limiter) until(left float64) time.Duration {
	return time.Duration((float64(l.burst) - left) / float64(l.rate) * float64(time.Second))
}

// ipv6Network is the part of an IPv6 address that tells customers apart: each has all
// the addresses below it.
const ipv6Network = 64

// address returns where a request came from. The word of a trusted proxy is taken for
// the address that it saw, through any number of them.
func (l *limits) address(req *http.Request) string {
	seen, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return req.RemoteAddr
	}
	client := seen.Addr().Unmap()
	if len(l.trusted) > 0 {
		hops := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && l.trusts(client); i-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			client = hop.Unmap().WithZone("")
		}
	}
	if client.Is6() {
		return netip.PrefixFrom(client.WithZone(""), ipv6Network).Masked().String()
	}
	return client.String()
}

func (l *limits) trusts(a netip.Addr) bool {
	for _, p := range l.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
