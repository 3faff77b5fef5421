package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// sessionsPath is where people log in. An idempotency key there would hand out the
// same session twice.
const sessionsPath = "/v1/sessions"

// handler returns what serves a route. Only what is read is compressed: the answers
// that hold tokens are those of POST, and what is secret must not be guessed from the
// size of an answer.
func (g *Gateway) handler(r route) http.Handler {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := g.forward(w, req, r); err != nil {
			g.fail(w, req, err)
		}
	})
	if r.pattern.verb == http.MethodGet && !r.spec.Streaming {
		h = compressed(h)
	}
	return g.limited(r.spec.HTTP, h)
}

// forward carries one request to its endpoint and the answer back.
func (g *Gateway) forward(w http.ResponseWriter, req *http.Request, r route) error {
	ctx, err := g.identify(req)
	if err != nil {
		return err
	}
	if err := r.spec.Auth.Check(auth.From(ctx)); err != nil {
		return err
	}
	conditions, err := r.conditions(req)
	if err != nil {
		return err
	}
	header, err := forwardedHeader(req, r, conditions)
	if err != nil {
		return err
	}
	body, err := g.body(w, req)
	if err != nil {
		return err
	}
	object, err := r.request(req, body)
	if err != nil {
		return err
	}
	if r.spec.Streaming {
		return g.noticed(g.stream(ctx, w, r, header, object))
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Settings.Timeout)
	defer cancel()
	reply, err := g.cfg.Caller.Forward(ctx, r.spec, header, object)
	if position := reply.Header.Get(endpoint.HeaderPosition); position != "" {
		w.Header().Set(endpoint.HeaderPosition, position)
	}
	if err != nil {
		return g.noticed(err)
	}
	return g.answer(w, req, r, conditions, reply.Body)
}

// noticed passes an error on. When nobody serves a route any more, it is time to look.
func (g *Gateway) noticed(err error) error {
	if errors.Is(err, endpoint.ErrNoResponders) && g.cfg.Discovery != nil {
		g.cfg.Discovery.Recheck()
	}
	return err
}

// answer sends what the endpoint said.
func (g *Gateway) answer(w http.ResponseWriter, req *http.Request, r route, c conditions, body []byte) error {
	if version := r.responseVersion(body); version > 0 {
		w.Header().Set(headerETag, entityTag(version))
		if reads(req) {
			w.Header().Set("Cache-Control", "private, no-cache")
			w.Header().Add("Vary", endpoint.HeaderAuthorization)
			switch {
			case c.match && c.expected != version:
				return stale()
			case c.anything, slices.Contains(c.noneMatch, version):
				w.WriteHeader(http.StatusNotModified)
				return nil
			}
		}
	}
	status := http.StatusOK
	if r.spec.Location != "" {
		status = http.StatusCreated
		location, err := r.location(body)
		if err != nil {
			g.cfg.Log.ErrorContext(req.Context(), "created without a Location", "subject", r.spec.Subject, "error", err)
		} else {
			w.Header().Set("Location", location)
		}
	}
	g.write(w, req, status, "application/json", body)
	return nil
}

// forwardedHeader returns what of the HTTP headers the endpoint gets. Who asks is not
// among them: the token in the request's context says that.
func forwardedHeader(req *http.Request, r route, c conditions) (nats.Header, error) {
	h := make(nats.Header, 3)
	verb, path := r.spec.Route()
	if keys := req.Header.Values(endpoint.HeaderIdempotencyKey); len(keys) > 0 && verb != http.MethodGet && path != sessionsPath {
		if len(keys) > 1 {
			return nil, invalid(endpoint.HeaderIdempotencyKey, "is there twice")
		}
		if !endpoint.ValidIdempotencyKey(keys[0]) {
			return nil, invalid(endpoint.HeaderIdempotencyKey, "must be 1 to 255 printable ASCII characters")
		}
		h[endpoint.HeaderIdempotencyKey] = keys
	}
	if positions := req.Header.Values(endpoint.HeaderPosition); len(positions) > 0 {
		h[endpoint.HeaderPosition] = positions
	}
	if c.match && !reads(req) {
		h[endpoint.HeaderExpectedVersion] = []string{formatVersion(c.expected)}
	}
	return h, nil
}

// read reads the request's body within limits of size and time.
func (g *Gateway) read(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(g.cfg.Settings.Timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(g.cfg.Settings.MaxBody)))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, newFault(http.StatusRequestEntityTooLarge, "the body is larger than "+g.cfg.Settings.MaxBody.String())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, newFault(http.StatusRequestTimeout, "the body did not come in time")
	}
	if err != nil {
		return nil, endpoint.Invalid("the body can't be read")
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body, nil
}

// body reads the JSON body of a request for an endpoint.
func (g *Gateway) body(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	body, err := g.read(w, req)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return nil, endpoint.Invalid("a " + req.Method + " has no body")
	}
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, newFault(http.StatusUnsupportedMediaType, "the content type of the body must be application/json")
	}
	return body, nil
}
