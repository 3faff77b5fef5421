package registry

import (
	"slices"
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/services/registry/registryapi"
)

var mails = topic{registryapi.AlertDeadLetters, "notification-users"}

func aboutMails(minute int) registryapi.AboutAlert {
	return registryapi.AboutAlert{AlertID: mails.id(), Kind: mails.kind, Subject: mails.subject, Reason: "so it is", Timestamp: at(minute)}
}

func foldAlert(given ...event.Data) registryapi.Alert {
	var a registryapi.Alert
	for _, data := range given {
		a = applyAlert(a, event.Event{Type: data.EventType(), Subject: mails.id(), Version: a.Version + 1}, data)
	}
	return a
}

// Raised twice is once, and so is resolved.
func TestAlertsAreRaisedByTurns(t *testing.T) {
	t.Parallel()
	raised := registryapi.AlertRaised{AboutAlert: aboutMails(2), Since: at(1)}
	resolved := registryapi.AlertResolved{AboutAlert: aboutMails(3), RaisedAt: at(2)}
	for _, c := range []struct {
		name  string
		given []event.Data
		over  bool
		then  string
	}{
		{"trouble", nil, true, "alert.raised"},
		{"no trouble", nil, false, ""},
		{"trouble still", []event.Data{raised}, true, ""},
		{"over", []event.Data{raised}, false, "alert.resolved"},
		{"over for long", []event.Data{raised, resolved}, false, ""},
		{"trouble again", []event.Data{raised, resolved}, true, "alert.raised"},
		{"and still", []event.Data{raised, resolved, raised}, true, ""},
	} {
		given := foldAlert(c.given...)
		then := alertVerdict{topic: mails, over: c.over, reason: "so it is", since: at(4)}.decide(given, at(5))
		got := ""
		for _, e := range then {
			got += e.EventType()
		}
		if got != c.then {
			t.Errorf("%s: %q, want %q", c.name, got, c.then)
			continue
		}
		for _, e := range then {
			after := foldAlert(append(c.given, e)...)
			want := registryapi.Alert{ID: mails.id(), Kind: mails.kind, Subject: mails.subject, Reason: "so it is", Version: given.Version + 1}
			if c.over {
				want.Since, want.RaisedAt = at(4), at(5)
			}
			if after != want {
				t.Errorf("%s: it is %+v, want %+v", c.name, after, want)
			}
			if d, ok := e.(registryapi.AlertResolved); ok && !d.RaisedAt.Equal(at(2)) {
				t.Errorf("%s: raised at %s", c.name, d.RaisedAt)
			}
		}
	}
}

// Each letter is one look, a minute after the one before: O over the limit, w within it, ?
// not known, a blank not there any more. An alert is raised after three minutes, and resolved after three.
func TestVerdictsTakeTime(t *testing.T) {
	t.Parallel()
	const after = 3 * time.Minute
	for _, c := range []struct{ name, looks, raised string }{
		{"at once is too soon", "OOO", "..."},
		{"long enough", "OOOO", "...R"},
		{"once is enough", "OOOOOOOO", "...RRRRR"},
		{"a break begins anew", "OOOwOOOO", ".......R"},
		{"not known begins anew", "OOO?OOOO", ".......R"},
		{"an outage raises nothing", "????????", "........"},
		{"an outage resolves nothing", "OOOO??????", "...RRRRRRR"},
		{"within for long enough", "OOOOwwww", "...RRRR."},
		{"a relapse begins anew", "OOOOwwwOwwww", "...RRRRRRRR."},
		{"flapping says nothing", "OwOwOwOwOw", ".........."},
		{"flapping resolves nothing", "OOOOwOwOwOwO", "...RRRRRRRRR"},
		{"what is gone is over", "OOOO    ", "...RRRR."},
		{"well all the time", "wwwwwwww", "........"},
	} {
		v, raised, got := make(vigil), []topic(nil), ""
		for minute, look := range c.looks {
			s := newSurvey()
			switch look {
			case 'O':
				s.found[mails] = finding{over, "many"}
			case 'w':
				s.found[mails] = finding{within, "few"}
			case '?':
				s.unclear[mails.kind] = true
			}
			for _, verdict := range v.take(s, raised, at(minute), after) {
				if verdict.topic != mails || verdict.reason == "" {
					t.Errorf("%s: a verdict on %+v", c.name, verdict)
				}
				if raised = nil; verdict.over {
					raised = []topic{mails}
					if !verdict.since.Equal(at(minute).Add(-after)) {
						t.Errorf("%s: since %s", c.name, verdict.since)
					}
				}
			}
			got += []string{".", "R"}[len(raised)]
		}
		if got != c.raised {
			t.Errorf("%s: %q leads to %q, want %q", c.name, c.looks, got, c.raised)
		}
	}
}

// A leader that takes over knows what is raised, and not for how long anything has been so.
func TestANewLeaderBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newSurvey()
	s.found[mails] = finding{over, "many"}
	first, second := make(vigil), make(vigil)
	first.take(s, nil, at(0), time.Minute)
	if got := first.take(s, nil, at(1), time.Minute); len(got) != 1 {
		t.Fatalf("the first says %+v", got)
	}
	if got := second.take(s, nil, at(1), time.Minute); len(got) != 0 {
		t.Errorf("the second says %+v at once", got)
	}
	if got := second.take(s, []topic{mails}, at(9), time.Minute); len(got) != 0 {
		t.Errorf("the second says %+v of what is raised", got)
	}
	s.found[mails] = finding{within, "few"}
	second.take(s, []topic{mails}, at(10), time.Minute)
	if got := second.take(s, []topic{mails}, at(11), time.Minute); len(got) != 1 || got[0].over {
		t.Errorf("the second says %+v when it is over", got)
	}
}

// A vigil remembers no more than there is.
func TestAVigilForgetsWhatIsGone(t *testing.T) {
	t.Parallel()
	s, v := newSurvey(), make(vigil)
	s.found[mails] = finding{level: within}
	v.take(s, nil, at(0), 0)
	v.take(newSurvey(), nil, at(1), 0)
	if len(v) != 0 {
		t.Errorf("it remembers %v", v)
	}
}

func TestLagHasTwoLimits(t *testing.T) {
	t.Parallel()
	limit := lagLimit{messages: 10, waiting: time.Minute}
	for _, c := range []struct {
		lag    lag
		level  level
		reason string
	}{
		{lag{}, within, "0 messages behind"},
		{lag{10, time.Minute}, within, "10 messages behind"},
		{lag{11, 0}, over, "11 messages behind, more than 10"},
		{lag{1, 90 * time.Second}, over, "1 message behind, the first for 1m30s, longer than 1m0s"},
	} {
		if got := limit.judge(c.lag); got != (finding{c.level, c.reason}) {
			t.Errorf("%+v: %+v", c.lag, got)
		}
	}
}

func TestEachAlertHasItsID(t *testing.T) {
	t.Parallel()
	ids := []string{
		mails.id(), topic{registryapi.AlertLag, mails.subject}.id(), topic{registryapi.AlertDeadLetters, "notification-orders"}.id(),
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 {
		t.Errorf("they share %v", ids)
	}
}
