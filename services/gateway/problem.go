package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

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

// statusClosed is logged for a client that went away before its answer; it is never
// sent.
const statusClosed = 499

func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		if rec, ok := w.(*recorder); ok {
			rec.status = statusClosed
		}
		return
	}
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok || e.Code.Status() == http.StatusInternalServerError {
		e = &endpoint.Error{Code: endpoint.CodeInternal, Message: "internal error"}
	}
	status := e.Code.Status()
	if f, ok := errors.AsType[*fault](err); ok {
		status = f.status
	} else if errors.Is(err, endpoint.ErrTooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code, Fields: e.Fields,
		CorrelationID: event.MetadataFrom(r.Context()).CorrelationID,
	})
	if err != nil {
		body = []byte(`{"code":"internal"}`)
		g.cfg.Log.ErrorContext(r.Context(), "problem can't be encoded", "error", err)
	}
	if e.RetryAfter > 0 {
		seconds := int64((e.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	g.write(w, r, status, "application/problem+json", body)
}

func (g *Gateway) write(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		g.cfg.Log.DebugContext(r.Context(), "client is gone", "error", err)
	}
}
