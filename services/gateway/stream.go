package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
)

const typeLines = "application/x-ndjson"

// stream sends the items of a stream as they come, one a line, for as long as they do.
// The service is stopped when the client is gone, or does not read.
//
// An error before the first item is a problem like any other. After it the connection is
// broken off: an answer that ends in order would be taken for the whole.
func (g *Gateway) stream(ctx context.Context, w http.ResponseWriter, r route, header nats.Header, object []byte) error {
	line := http.NewResponseController(w)
	// Between lines there is no limit of time, and HTTP/2 would end the stream at one.
	if err := limitWrite(line, time.Time{}); err != nil {
		return err
	}
	begun := false
	begin := func() {
		begun = true
		w.Header().Set("Content-Type", typeLines)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
	}
	for lines, err := range g.cfg.Caller.ForwardStream(ctx, r.spec, header, object) {
		if err != nil && !begun {
			return err
		}
		if err != nil {
			g.cfg.Log.WarnContext(ctx, "stream broken off", "subject", r.spec.Subject, "error", err)
			panic(http.ErrAbortHandler)
		}
		if !begun {
			begin()
		}
		if err := send(w, line, lines); err != nil {
			g.cfg.Log.DebugContext(ctx, "client is gone", "error", err)
			return nil
		}
	}
	if !begun {
		begin()
	}
	return nil
}

// send writes what is to be sent now, to somebody who reads it within a while.
func send(w http.ResponseWriter, line *http.ResponseController, part []byte) error {
	if err := limitWrite(line, time.Now().Add(writeGrace)); err != nil {
		return err
	}
	if _, err := w.Write(part); err != nil {
		return err
	}
	if err := line.Flush(); err != nil {
		return err
	}
	return limitWrite(line, time.Time{})
}

// limitWrite sets until when writing may take, if there is a connection to write to.
func limitWrite(line *http.ResponseController, until time.Time) error {
	if err := line.SetWriteDeadline(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
