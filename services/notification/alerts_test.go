package notification

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/services/notification/notificationapi"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// lossy is a folder of mails, of which the first that goes to some addresses is written
// and then not heard of, as after a crash.
type lossy struct {
	*folderMailer

	mu   sync.Mutex
	lose map[string]int      // how often, by address
	sent map[string][]string // ids, by address
}

var errLost = errors.New("nobody knows what became of it")

func (l *lossy) Send(ctx context.Context, m email) error {
	if err := l.folderMailer.Send(ctx, m); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[m.To] = append(l.sent[m.To], m.ID)
	if l.lose[m.To]--; l.lose[m.To] >= 0 {
		return errLost
	}
	return nil
}

// A mail that may have been sent is sent again as the same mail; who has it for sure gets
// no other, also when the event comes again.
func TestAlertsAreMailedAtLeastOnce(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	log := slog.New(slog.DiscardHandler)
	if err := streams.Reconcile(t.Context(), js, log, 1, "notification", "registry"); err != nil {
		t.Fatal(err)
	}
	folder, err := newFolderMailer(filepath.Join(t.TempDir(), "mail"), "shop@example.com")
	if err != nil {
		t.Fatal(err)
	}
	post := &lossy{folderMailer: folder, lose: map[string]int{"b@example.com": 2}, sent: make(map[string][]string)}
	r := reactions{
		notifications: aggregate.New(eventstore.New(js, streams.Notifications, notificationapi.Events), apply),
		mail:          post, operators: []string{"a@example.com", "b@example.com"}, js: js, log: log,
	}
	alerts := eventstore.New(js, streams.Alerts, registryapi.AlertEvents)
	group := streams.NotificationAlerts
	group.MinBackoff, group.MaxBackoff = time.Millisecond, 10*time.Millisecond
	consumer := bus.Consume(js, group, bus.Config{Read: alerts.Reader().Read}, bus.On(r.alertRaised), bus.On(r.alertResolved))
	if err := consumer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := consumer.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	about := registryapi.AboutAlert{
		AlertID: registryapi.AlertID(registryapi.AlertLag, "order-due"), Kind: registryapi.AlertLag, Subject: "order-due",
		Reason: "7 messages behind", Timestamp: at(3),
	}
	raised := registryapi.AlertRaised{AboutAlert: about, Since: at(2)}
	registry := aggregate.New(alerts, func(n int, _ event.Event, _ event.Data) int { return n + 1 })
	result, err := registry.Do(t.Context(), aggregate.Command[int]{
		ID: about.AlertID, Decide: func(int) ([]event.Data, error) { return []event.Data{raised}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), group.Stream, group.Name)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		info, err := c.Info(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("not handled: %+v, %v", info, err)
		}
		if info.AckFloor.Stream == result.Position {
			break
		}
	}
	// The event comes once more, as after a lost acknowledgement.
	if err := r.alertRaised(t.Context(), event.Of[registryapi.AlertRaised]{Event: result.Events[0], Data: raised}); err != nil {
		t.Error(err)
	}
	a, b := post.sent["a@example.com"], post.sent["b@example.com"]
	if len(a) != 1 || len(b) != 3 || a[0] == b[0] || b[0] != b[1] || b[1] != b[2] {
		t.Fatalf("sent %v", post.sent)
	}
	files, err := os.ReadDir(folder.folder)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, f := range files {
		names[f.Name()] = true
	}
	if want := map[string]bool{a[0] + ".eml": true, b[0] + ".eml": true}; !maps.Equal(names, want) {
		t.Errorf("the folder has %v", slices.Collect(maps.Keys(names)))
	}
	for _, id := range []string{a[0], b[0]} {
		n, err := r.notifications.Get(t.Context(), id)
		if s := n.State; err != nil || s.Status != notificationapi.StatusSent || s.Version != 1 || s.UserID != "" || s.AlertID != about.AlertID || s.EventID != result.Events[0].ID {
			t.Errorf("recorded: %+v, %v", s, err)
		}
	}
}

func TestLettersAboutAlerts(t *testing.T) {
	t.Parallel()
	for kind, want := range map[registryapi.AlertKind][2]string{
		registryapi.AlertUnhealthy:    {"[Sluice] service a/b is unhealthy", "GET /v1/services/a/b\n"},
		registryapi.AlertDeadLetters:  {"[Sluice] dead letters of a/b", "?consumer=a/b\n"},
		registryapi.AlertLag:          {"[Sluice] handlers a/b lag behind", "consumer"},
		registryapi.AlertReadModelLag: {"[Sluice] read model a/b lags behind", "svc.a.projection "},
		"of-tomorrow":                 {"[Sluice] of-tomorrow a/b", "because\n"},
	} {
		about := registryapi.AboutAlert{Kind: kind, Subject: "a/b", Reason: "because", Timestamp: at(3)}
		l := raisedAlert(registryapi.AlertRaised{AboutAlert: about, Since: at(2)})
		if l.subject != want[0] || !strings.Contains(l.body, want[1]) || !strings.Contains(l.body, "because\n") || !strings.Contains(l.body, "Since: 2026-01-02T03:02:00Z\n") {
			t.Errorf("%s: %+v", kind, l)
		}
		l = resolvedAlert(registryapi.AlertResolved{AboutAlert: about, RaisedAt: at(2)})
		if l.subject != strings.Replace(want[0], "] ", "] Over: ", 1) || !strings.Contains(l.body, "because\n") || !strings.Contains(l.body, "Over:   2026-01-02T03:03:00Z\n") {
			t.Errorf("%s is over: %+v", kind, l)
		}
	}
}

func TestOperatorSettings(t *testing.T) {
	t.Parallel()
	for given, want := range map[string][]string{
		"":                             nil,
		"ops@example.com":              {"ops@example.com"},
		"b@example.com, a@example.com": {"a@example.com", "b@example.com"},
		"a@example.com,a@example.com":  {"a@example.com"},
	} {
		got, err := with("SLUICE_NOTIFICATION_OPERATORS=" + given)
		if err != nil || !slices.Equal(got.operators(), want) {
			t.Errorf("%q: %v, %v", given, got.operators(), err)
		}
	}
	for _, given := range []string{"ops", "Ops <ops@example.com>", "a@example.com,", "a@example.com b@example.com", "a@example.com\r\nBcc: b@example.com"} {
		if got, err := with("SLUICE_NOTIFICATION_OPERATORS=" + given); err == nil {
			t.Errorf("%q: %v", given, got.Operators)
		}
	}
}
