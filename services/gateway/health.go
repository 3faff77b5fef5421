package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/pkg/endpoint"
)

const readyTimeout = 2 * time.Second

// healthz says that the process runs.
func (g *Gateway) healthz(w http.ResponseWriter, r *http.Request) {
	g.write(w, r, http.StatusOK, "application/json", []byte(`{"status":"ok"}`))
}

// readyz says whether requests would be answered: NATS is there and every service
// behind a route is well. It names those that are not.
func (g *Gateway) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		fields []endpoint.FieldError
	)
	report := func(field, message string) {
		mu.Lock()
		defer mu.Unlock()
		fields = append(fields, endpoint.FieldError{Field: field, Message: message})
	}
	for _, service := range g.services {
		wg.Go(func() {
			status, err := endpoint.Call(ctx, g.cfg.Caller, endpoint.Health(service), struct{}{})
			if e, ok := errors.AsType[*endpoint.Error](err); ok {
				report(service, e.Message)
			} else if err != nil || status.Status != endpoint.StatusOK {
				report(service, "is failing")
			}
		})
	}
	if g.cfg.Ready != nil {
		wg.Go(func() {
			if err := g.cfg.Ready(ctx); err != nil {
				g.cfg.Log.WarnContext(ctx, "not ready", "error", err)
				report("gateway", "is not ready")
			}
		})
	}
	wg.Wait()
	if len(fields) > 0 {
		slices.SortFunc(fields, func(a, b endpoint.FieldError) int { return strings.Compare(a.Field, b.Field) })
		e := endpoint.Unavailable("not everything is ready").After(time.Second)
		e.Fields = fields
		g.fail(w, r, e)
		return
	}
	g.write(w, r, http.StatusOK, "application/json", []byte(`{"status":"ok"}`))
}
