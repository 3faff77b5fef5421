package gateway

import (
	"context"
	"errors"
	"fmt"
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

// readyz says whether requests would be answered: the services have been asked once, so
// NATS is there, and every service behind a route is well. It names those that are not.
// Those who ask at the same time share an answer, so that nobody has services asked
// over and over.
func (g *Gateway) readyz(w http.ResponseWriter, r *http.Request) {
	got, err, _ := g.checking.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), readyTimeout)
		defer cancel()
		return g.unready(ctx), nil
	})
	fields, ok := got.([]endpoint.FieldError)
	switch {
	case err != nil || !ok:
		g.fail(w, r, fmt.Errorf("check who is ready: %w", err))
	case len(fields) > 0:
		e := endpoint.Unavailable("not everything is ready").After(time.Second)
		e.Fields = fields
		g.fail(w, r, e)
	default:
		g.write(w, r, http.StatusOK, "application/json", []byte(`{"status":"ok"}`))
	}
}

// unready returns who is not ready, and why as far as that is for everybody's eyes.
func (g *Gateway) unready(ctx context.Context) []endpoint.FieldError {
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
	if g.Health() != nil {
		report("routes", "are not known yet")
	}
	for _, service := range g.table.Load().services {
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
	slices.SortFunc(fields, func(a, b endpoint.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return fields
}
