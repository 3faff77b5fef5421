package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/gateway"
)

func TestStreamsAreLines(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	a := w.do(t, "GET", "/v1/things-export?limit=5000", "", "Authorization", asOperator)
	if n := strings.Count(a.body, "\n"); a.status != 200 || n != 5000 || !strings.Contains(a.body, `{"id":"t4999",`) ||
		a.header.Get("Content-Type") != "application/x-ndjson" || a.header.Get("Content-Encoding") != "" {
		t.Errorf("%d %v: %d lines", a.status, a.header, n)
	}
	if a := w.do(t, "GET", "/v1/things-export", "", "Authorization", asOperator); a.status != 200 || a.body != "" {
		t.Errorf("nothing: %d %q", a.status, a.body)
	}
	// What goes wrong before the first line is a problem.
	a = w.do(t, "GET", "/v1/things-export?kind=broken", "", "Authorization", asOperator)
	if p := a.problem(t); a.status != 409 || p.Code != endpoint.CodeConflict {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do(t, "GET", "/v1/things-export", "", "Authorization", asCustomer); a.status != 403 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// After it, nobody may take what came for all there is.
	if a, err := w.try(t.Context(), "GET", "/v1/things-export?limit=2000&kind=broken", "", "Authorization", asOperator); err == nil {
		t.Errorf("a broken stream ended in order: %d, %d bytes", a.status, len(a.body))
	}
	awaitLog(t, w.logs, "stream broken off")
	awaitLog(t, w.logs, `"route":"GET /v1/things-export","status":200,"bytes":`)
}

func TestAStreamStopsWhenItsReaderGoes(t *testing.T) {
	t.Parallel()
	srv, log := natstest.Start(t), &logs{}
	shelf := &things{stopped: make(chan struct{})}
	serve(t, srv.Connect(t), "thing", "1.0.0", log, shelf.handlers()...)
	w := startGateway(t, srv, gateway.Config{}, hasty, log)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/v1/things-export?limit=1000000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", asOperator)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(io.LimitReader(res.Body, 1<<20)).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-shelf.stopped
}
