package gateway

import (
	"context"
	"net/http"

	"sluice/pkg/auth"
)

// recorder remembers of an answer what the log tells.
type recorder struct {
	http.ResponseWriter

	status   int
	bytes    int64 // of the body, as sent
	identity auth.Identity
}

type recorderKey struct{}

// recorderOf returns the recorder of a request, or one that nobody looks at.
func recorderOf(ctx context.Context) *recorder {
	if r, ok := ctx.Value(recorderKey{}).(*recorder); ok {
		return r
	}
	return new(recorder)
}

// WriteHeader sends the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK { // what comes before is not the answer yet
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Flush sends what is written so far, for handlers that look for an [http.Flusher].
func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
