package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	readGrace  = time.Second      // beyond the call's time, so that its answer comes first
	writeGrace = 10 * time.Second // to send the answer
)

// within gives each call of h the time d, in which the request must have come in too.
func within(d time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), d)
		defer cancel()
		end := time.Now().Add(d)
		control := http.NewResponseController(w)
		err := errors.Join(control.SetReadDeadline(end.Add(readGrace)), control.SetWriteDeadline(end.Add(writeGrace)))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			http.Error(w, "the time for this call can't be limited", http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, req.WithContext(ctx))
	})
}

// received calls h once the whole request is there, for which the client has the time d;
// from then on there is no limit.
func received(d time.Duration, most int, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		control := http.NewResponseController(w)
		err := control.SetReadDeadline(time.Now().Add(d))
		if err == nil {
			var body []byte
			body, err = io.ReadAll(http.MaxBytesReader(w, req.Body, int64(most)))
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		if err = errors.Join(err, control.SetReadDeadline(time.Time{})); err != nil {
			http.Error(w, "the request did not come in", http.StatusRequestTimeout)
			return
		}
		h.ServeHTTP(w, req)
	})
}
