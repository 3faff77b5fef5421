package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
)

// sessionsPath is where people log in. An idempotency key there would hand out the
// same session twice.
const sessionsPath = "/v1/sessions"

// forward carries one request to its endpoint and the answer back.
func (g *Gateway) forward(w http.ResponseWriter, req *http.Request, r route) {
	ctx, cancel := context.WithTimeout(req.Context(), g.cfg.Timeout)
	defer cancel()
	header, err := forwardedHeader(req, r)
	if err != nil {
		g.fail(w, req, err)
		return
	}
	body, err := g.body(w, req)
	if err != nil {
		g.fail(w, req, err)
		return
	}
	object, err := r.request(req, body)
	if err != nil {
		g.fail(w, req, err)
		return
	}
	reply, err := g.cfg.Caller.Request(ctx, r.spec.Subject, header, object)
	if position := reply.Header.Get(endpoint.HeaderPosition); position != "" {
		w.Header().Set(endpoint.HeaderPosition, position)
	}
	if err != nil {
		g.fail(w, req, err)
		return
	}
	status := http.StatusOK
	if r.spec.Location != "" {
		status = http.StatusCreated
		location, err := r.location(reply.Body)
		if err != nil {
			g.cfg.Log.ErrorContext(ctx, "created without a Location", "subject", r.spec.Subject, "error", err)
		} else {
			w.Header().Set("Location", location)
		}
	}
	g.write(w, req, status, "application/json", reply.Body)
}

// forwardedHeader returns what of the HTTP headers the endpoint gets. Who asks is not
// among them: nobody can claim to be somebody.
func forwardedHeader(req *http.Request, r route) (nats.Header, error) {
	h := make(nats.Header, 2)
	verb, path := r.spec.Route()
	if keys := req.Header.Values(endpoint.HeaderIdempotencyKey); len(keys) > 0 && verb == http.MethodPost && path != sessionsPath {
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
	return h, nil
}

// read reads the request's body within limits of size and time.
func (g *Gateway) read(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(g.cfg.Timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, newFault(http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB")
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
