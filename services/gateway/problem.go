package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

// problem is an error as RFC 9457 has it, with members of our own after detail.
type problem struct {
	Type          string                `json:"type"`
	Title         string                `json:"title"`
	Status        int                   `json:"status"`
	Detail        string                `json:"detail"`
	Code          endpoint.Code         `json:"code"`
	Fields        []endpoint.FieldError `json:"fields,omitempty"`
	CorrelationID string                `json:"correlation_id,omitempty"`
}

// fault is a fault of HTTP itself: it keeps its status and reads invalid.
type fault struct {
	status int
	err    *endpoint.Error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func newFault(status int, message string) error {
	return &fault{status: status, err: endpoint.Invalid(message)}
}

func invalid(field, message string) error {
	return endpoint.Invalid("the request is not valid", endpoint.FieldError{Field: field, Message: message})
}

// statusClosed is logged for a client that went away before its answer. It is never sent.
const statusClosed = 499

// fail answers with what err says to the outside. It does so also when the client seems
// to be gone, which net/http concludes from a connection that is half closed as well:
// silence would be sent as 200.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok && r.Context().Err() == nil {
		g.cfg.Log.ErrorContext(r.Context(), "request failed", "error", err)
	}
	if !ok || e.Code.Status() == http.StatusInternalServerError {
		e = &endpoint.Error{Code: endpoint.CodeInternal, Message: "internal error"}
	}
	status := e.Status()
	if f, ok := errors.AsType[*fault](err); ok {
		status = f.status
	} else if errors.Is(err, endpoint.ErrTooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code, Fields: e.Fields,
		CorrelationID: event.MetadataFrom(r.Context()).CorrelationID,
	}, jsontext.AllowInvalidUTF8(true)) // what services write is theirs
	if err != nil {
		body = []byte(`{"code":"internal"}`)
		g.cfg.Log.ErrorContext(r.Context(), "problem can't be encoded", "error", err)
	}
	if status == http.StatusUnauthorized {
		challenge := "Bearer"
		if r.Header.Get(endpoint.HeaderAuthorization) != "" {
			challenge = `Bearer error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if e.RetryAfter > 0 {
		seconds := int64((e.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	g.write(w, r, status, "application/problem+json", body)
	if r.Context().Err() != nil && status != http.StatusRequestTimeout {
		recorderOf(r.Context()).status = statusClosed
	}
}

func (g *Gateway) write(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		g.cfg.Log.DebugContext(r.Context(), "client is gone", "error", err)
	}
}
