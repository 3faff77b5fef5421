package access_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/micro"

	"sluice/test/program"
)

// served is one endpoint as the running service shows it.
type served struct{ subject, auth, method, path string }

// endpoints asks everybody what they serve, as `nats micro info` does, until all
// services have answered.
func (s *system) endpoints(t testing.TB) map[string]served {
	t.Helper()
	inbox := s.NC.NewInbox()
	answers, err := s.NC.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := s.NC.PublishRequest("$SRV.INFO", inbox, nil); err != nil {
		t.Fatal(err)
	}
	found, services := make(map[string]served), make(map[string]bool)
	for len(services) < 6 {
		m, err := answers.NextMsg(program.Patience)
		if err != nil {
			t.Fatalf("%v have answered, then: %v", services, err)
		}
		var info micro.Info
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		services[info.Name] = true
		for _, e := range info.Endpoints {
			found[e.Subject] = served{e.Subject, e.Metadata["http.auth"], e.Metadata["http.method"], e.Metadata["http.path"]}
		}
	}
	if m, err := answers.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("somebody else answers: %s", m.Data)
	}
	return found
}
