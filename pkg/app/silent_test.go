package app_test

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
	"sluice/pkg/natstest"
)

// A server that keeps connections open and says nothing, as one that is frozen, is left
// within seconds.
func TestAServerThatFallsSilentIsLeft(t *testing.T) {
	t.Parallel()
	proxy := natstest.Start(t).Proxy(t)
	p := launch(t, app.Program{Services: []app.Service{idle}}, map[string]string{"NATS_URL": proxy.URL()})
	p.ready(t)
	proxy.MuteAfter("PING")
	deadline := time.After(patience)
	for !strings.Contains(p.stderr.String(), `msg="lost the connection to NATS"`) {
		select {
		case <-p.stderr.written:
		case <-deadline:
			t.Fatalf("after %s it is still there: %s", patience, p.stderr)
		}
	}
	proxy.Cut()
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("it ends with %d: %s", code, p.stderr)
	}
}
