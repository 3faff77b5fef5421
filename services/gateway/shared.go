package gateway

import (
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"

	"sluice/pkg/endpoint"
)

// shared puts before h what holds for every request: CORS, and the limit of its client.
func (g *Gateway) shared(h http.Handler) http.Handler {
	next := h
	h = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		limit := g.limits.Load().client
		if limit != nil && req.URL.Path != "/healthz" && req.URL.Path != "/readyz" && !g.allowed(w, req, limit, g.client(req)) {
			return
		}
		next.ServeHTTP(w, req)
	})
	if origins := g.cfg.Settings.CORS.Origins; len(origins) > 0 {
		h = cors.New(cors.Options{
			AllowedOrigins: origins,
			AllowedMethods: []string{
				http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
			},
			AllowedHeaders: append(requestHeaders(),
				"Content-Type", "Last-Event-ID", "Traceparent", "Tracestate",
				"Connect-Protocol-Version", "Connect-Timeout-Ms", "Grpc-Timeout", "X-Grpc-Web", "X-User-Agent"),
			ExposedHeaders: append(responseHeaders(), "Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"),
			MaxAge:         600,
		}).Handler(h)
	}
	return h
}

// requestHeaders are those of a request that mean something, beside HTTP's own.
func requestHeaders() []string {
	return []string{
		endpoint.HeaderAuthorization, endpoint.HeaderIdempotencyKey, endpoint.HeaderPosition, endpoint.HeaderCorrelationID,
		headerIfMatch, headerIfNoneMatch,
	}
}

// responseHeaders are those of an answer that mean something, beside HTTP's own.
func responseHeaders() []string {
	return []string{
		endpoint.HeaderPosition, endpoint.HeaderCorrelationID, headerETag, "Location", "Retry-After",
		"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "WWW-Authenticate",
	}
}

// compression wraps handlers so that they answer by gzip those who take it. It is made
// once: what it keeps is shared.
var compression = sync.OnceValue(func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(false), gzhttp.SuffixETag(compressedSuffix))
	if err != nil {
		panic("gateway: " + err.Error()) // the options are constants
	}
	return wrap
})

func compressed(h http.Handler) http.Handler { return compression()(h) }
