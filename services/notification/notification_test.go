package notification

import (
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
)

func at(minute int) time.Time { return time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC) }

func about(minute int) notificationapi.About {
	return notificationapi.About{
		NotificationID: "n-1", UserID: "u-1", OrderID: "o-1", Kind: notificationapi.KindOrderConfirmation,
		EventID: "e-1", Timestamp: at(minute),
	}
}

func fold(given ...event.Data) notificationapi.Notification {
	var n notificationapi.Notification
	for i, data := range given {
		n = apply(n, event.Event{Type: data.EventType(), Subject: "n-1", Version: uint64(i + 1)}, data)
	}
	return n
}

func TestRecord(t *testing.T) {
	t.Parallel()
	sent, failed := notificationapi.Sent{About: about(2)}, notificationapi.Failed{About: about(1)}
	for _, c := range []struct {
		name  string
		given []event.Data
		when  event.Data
		then  int
		ends  notificationapi.Status
	}{
		{"sent", nil, sent, 1, "sent"},
		{"failed", nil, failed, 1, "failed"},
		{"sent twice", []event.Data{sent}, sent, 0, "sent"},
		{"failed twice", []event.Data{failed}, failed, 0, "failed"},
		{"sent after all", []event.Data{failed}, sent, 1, "sent"},
		{"failed after it was sent", []event.Data{sent}, failed, 0, "sent"},
		{"failed, sent, failed", []event.Data{failed, sent}, failed, 0, "sent"},
	} {
		then, err := record(fold(c.given...), c.when)
		if err != nil || len(then) != c.then || len(then) == 1 && then[0] != c.when {
			t.Errorf("%s: %v, %v", c.name, then, err)
		}
		if n := fold(append(c.given, then...)...); n.Status != c.ends {
			t.Errorf("%s: ends as %q, want %q", c.name, n.Status, c.ends)
		}
	}
}

func TestApplyKeepsWhenItBegan(t *testing.T) {
	t.Parallel()
	got := fold(notificationapi.Failed{About: about(1)}, notificationapi.Sent{About: about(2)})
	want := notificationapi.Notification{
		ID: "n-1", UserID: "u-1", OrderID: "o-1", Kind: notificationapi.KindOrderConfirmation, Status: notificationapi.StatusSent,
		EventID: "e-1", CreatedAt: at(1), UpdatedAt: at(2), Version: 2,
	}
	if got != want {
		t.Errorf("the notification is %+v, want %+v", got, want)
	}
}

func TestLetters(t *testing.T) {
	t.Parallel()
	l := welcome("ada")
	if l.subject != "Welcome to our platform!" || l.body != "Hello ada, welcome to our platform!\n" {
		t.Errorf("the welcome is %+v", l)
	}
}
