package flows_test

import (
	"io"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/services/deadletter/deadletterapi"
	"sluice/services/notification/notificationapi"
	"sluice/services/registry/registryapi"
	"sluice/streams"
	"sluice/test/program"
)

// alerting are settings with which trouble is told within a second.
func alerting(operators string) map[string]string {
	return map[string]string{
		"SLUICE_NOTIFICATION_OPERATORS": operators,
		"SLUICE_REGISTRY_ALERTS_EVERY":  "100ms",
		"SLUICE_REGISTRY_ALERTS_AFTER":  "300ms",
	}
}

// message is a mail as its reader sees it.
type message struct{ id, to, subject, body string }

func readMail(t testing.TB, content string) message {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 {
		t.Fatalf("to %v, %v", to, err)
	}
	if about, there := m.Header["Sluice-User-Id"]; there {
		t.Errorf("a mail to an operator is about a user: %v", about)
	}
	text := strings.ReplaceAll(string(body), "=\r\n", "") // soft line breaks of quoted-printable
	return message{m.Header.Get("Message-Id"), to[0].Address, m.Header.Get("Subject"), strings.ReplaceAll(text, "=3D", "=")}
}

// mailed waits until the folder has mails with a subject, each to another address, and
// returns them in the order of those.
func (s *system) mailed(t testing.TB, subject string, count int) []message {
	t.Helper()
	var found []message
	program.Until(t, subject+" is mailed", func() bool {
		found = nil
		files, err := filepath.Glob(filepath.Join(s.Data, "mail", "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if m := readMail(t, string(content)); m.subject == subject {
				found = append(found, m)
			}
		}
		return len(found) >= count
	})
	slices.SortFunc(found, func(a, b message) int { return strings.Compare(a.to, b.to) })
	if len(found) != count {
		t.Errorf("%d mails with subject %q", len(found), subject)
	}
	return found
}

// Something that nobody can handle becomes a mail to each operator, and so does its end.
func TestOperatorsAreMailedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, alerting("ops@example.com,boss@example.com,ops@example.com"))
	feed, err := s.NC.SubscribeSync("feed.alert.>")
	if err != nil {
		t.Fatal(err)
	}
	s.judged(t, &nats.Msg{Subject: "user.created", Data: []byte("not an event")})
	s.judged(t, &nats.Msg{Subject: "user.created", Data: []byte("nor is this")})

	const about = "dead letters of user-intake"
	raised := s.mailed(t, "[Sluice] "+about, 2)
	if raised[0].to != "boss@example.com" || raised[1].to != "ops@example.com" || raised[0].id == raised[1].id ||
		!strings.Contains(raised[0].body, "more than 0") || !strings.Contains(raised[0].body, "GET /v1/dead-letters?consumer=user-intake") {
		t.Errorf("the mails are %+v", raised)
	}
	var now registryapi.AlertsResponse
	s.Get(t, "/v1/alerts", &now)
	if len(now.Items) != 1 || now.Items[0].Kind != registryapi.AlertDeadLetters || now.Items[0].Subject != "user-intake" {
		t.Fatalf("raised now: %+v", now)
	}
	inside, err := call(t, s, registryapi.Alerts, registryapi.AlertsRequest{})
	if err != nil || len(inside.Items) != 1 || inside.Items[0] != now.Items[0] {
		t.Errorf("over NATS: %+v, %v", inside, err)
	}
	var discarded deadletterapi.DiscardResponse
	for _, letter := range s.listed(t, "consumer=user-intake", 2) {
		s.Do(t, http.MethodDelete, "/v1/dead-letters/"+letter.ID, nil).Into(t, http.StatusOK, &discarded)
	}
	if over := s.mailed(t, "[Sluice] Over: "+about, 2); over[0].id == raised[0].id || !strings.Contains(over[0].body, "0 dead letters") {
		t.Errorf("the mails are %+v", over)
	}
	program.Until(t, "nothing is raised", func() bool {
		var left registryapi.AlertsResponse
		s.Get(t, "/v1/alerts", &left)
		return len(left.Items) == 0
	})

	// It is told live, and can be read again.
	id := registryapi.AlertID(registryapi.AlertDeadLetters, "user-intake")
	history := s.stored(t, streams.Alerts.Name)
	if len(history) != 2 {
		t.Fatalf("the history has %d events", len(history))
	}
	for n, kind := range []string{"raised", "resolved"} {
		m, err := feed.NextMsg(program.Patience)
		if err != nil || m.Subject != "feed.alert."+kind+"."+id || history[n].Subject != "alert."+kind+"."+id {
			t.Errorf("%v, %v and %s instead of %s", m, err, history[n].Subject, kind)
		}
	}
	var sent []notificationapi.Notification
	program.Until(t, "all is recorded", func() bool {
		var page notificationapi.ListResponse
		s.Get(t, "/v1/notifications", &page)
		sent = slices.DeleteFunc(page.Items, func(n notificationapi.Notification) bool { return n.Kind != notificationapi.KindAlert })
		return len(sent) == 4
	})
	for _, n := range sent {
		if n.AlertID != id || n.UserID != "" || n.Status != notificationapi.StatusSent {
			t.Errorf("recorded: %+v", n)
		}
	}
	for _, m := range s.stored(t, streams.Notifications.Name) {
		if strings.Contains(string(m.Data), "@") {
			t.Errorf("the history tells an address: %s", m.Data)
		}
	}
	if strings.Contains(s.Stderr.String(), "@example.com") {
		t.Errorf("the log tells an address:\n%s", s.Stderr)
	}
}

// An operator whom the mail server refuses, for now or for good, keeps no other from
// getting the mail, and nobody gets it twice.
func TestOperatorsWhoAreRefused(t *testing.T) {
	t.Parallel()
	office := &postOffice{}
	env := alerting("busy-at-data@example.com,gone-at-rcpt@example.com,ops@example.com")
	env["SMTP_URL"] = office.open(t)
	s := start(t, env)
	s.judged(t, &nats.Msg{Subject: "user.created", Data: []byte("not an event")})

	const about = "[Sluice] dead letters of "
	var letters []deadletterapi.Letter
	program.Until(t, "the refused mail is a dead letter", func() bool {
		var page deadletterapi.ListResponse
		s.Get(t, "/v1/dead-letters?consumer=notification-alerts", &page)
		letters = page.Items
		return len(letters) > 0
	})
	if l := letters[len(letters)-1]; !strings.HasPrefix(l.Subject, "alert.raised.") || strings.Contains(l.Error, "@") || !strings.Contains(l.Error, "550") {
		t.Errorf("the dead letter is %+v", l)
	}
	// That letter is an alert itself, and the last one: its own mail cannot add another.
	program.Until(t, "the others have both mails", func() bool {
		return len(office.to("ops@example.com")) >= 2 && len(office.to("busy-at-data@example.com")) >= 2
	})
	program.Until(t, "both are given up", func() bool {
		return len(s.listed(t, "consumer=notification-alerts", 2)) == 2
	})
	for _, to := range []string{"ops@example.com", "busy-at-data@example.com"} {
		var subjects []string
		for _, d := range office.to(to) {
			subjects = append(subjects, readMail(t, d.message).subject)
		}
		slices.Sort(subjects)
		if want := []string{about + "notification-alerts", about + "user-intake"}; !slices.Equal(subjects, want) {
			t.Errorf("%s got %q", to, subjects)
		}
	}
	count := make(map[notificationapi.Status]int)
	var page notificationapi.ListResponse
	program.Until(t, "all is recorded", func() bool {
		clear(count)
		page = notificationapi.ListResponse{}
		s.Get(t, "/v1/notifications", &page)
		for _, n := range page.Items {
			count[n.Status]++
		}
		return count[notificationapi.StatusSent] == 4 && count[notificationapi.StatusFailed] == 2
	})
	for _, m := range s.stored(t, streams.Notifications.Name) {
		var about notificationapi.About
		if err := json.Unmarshal(m.Data, &about); err != nil || about.Kind != notificationapi.KindAlert || about.AlertID == "" || strings.Contains(string(m.Data), "@") {
			t.Errorf("recorded: %s, %v", m.Data, err)
		}
	}
}

// Without operators everything is told but by mail.
func TestAlertsWithoutOperators(t *testing.T) {
	t.Parallel()
	s := start(t, alerting(""))
	s.judged(t, &nats.Msg{Subject: "user.created", Data: []byte("not an event")})
	program.Until(t, "it is raised", func() bool {
		var now registryapi.AlertsResponse
		s.Get(t, "/v1/alerts", &now)
		return len(now.Items) == 1
	})
	program.Until(t, "it is handled", func() bool {
		c, err := s.JS.Consumer(t.Context(), streams.Alerts.Name, streams.NotificationAlerts.Name)
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().AckFloor.Stream == 1
	})
	if files, err := os.ReadDir(filepath.Join(s.Data, "mail")); err != nil || len(files) != 0 {
		t.Errorf("mailed: %v, %v", files, err)
	}
}
