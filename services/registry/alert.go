package registry

import (
	"time"

	"sluice/pkg/event"
	"sluice/services/registry/registryapi"
)

// applyAlert folds one event into an alert. One that is not raised has no RaisedAt.
func applyAlert(a registryapi.Alert, e event.Event, data event.Data) registryapi.Alert {
	switch d := data.(type) {
	case registryapi.AlertRaised:
		a = registryapi.Alert{ID: e.Subject, Kind: d.Kind, Subject: d.Subject, Reason: d.Reason, Since: d.Since, RaisedAt: d.Timestamp}
	case registryapi.AlertResolved:
		a = registryapi.Alert{ID: e.Subject, Kind: d.Kind, Subject: d.Subject, Reason: d.Reason}
	}
	a.Version = e.Version
	return a
}

// decide returns what a verdict changes: nothing when the history has it already, so
// that of several which say the same one does.
func (v alertVerdict) decide(a registryapi.Alert, now time.Time) []event.Data {
	about := registryapi.AboutAlert{AlertID: v.id(), Kind: v.kind, Subject: v.subject, Reason: v.reason, Timestamp: now}
	raised := !a.RaisedAt.IsZero()
	switch {
	case v.over && !raised:
		return []event.Data{registryapi.AlertRaised{AboutAlert: about, Since: v.since}}
	case !v.over && raised:
		return []event.Data{registryapi.AlertResolved{AboutAlert: about, RaisedAt: a.RaisedAt}}
	default:
		return nil
	}
}

// topic is what an alert is about.
type topic struct {
	kind    registryapi.AlertKind
	subject string
}

func (t topic) id() string { return registryapi.AlertID(t.kind, t.subject) }

// level says on which side of its limit a topic is. The zero level is that nobody knows,
// which is neither trouble nor its end.
type level int

const (
	unknown level = iota
	within
	over
)

// finding is what one look says of a topic, and why in words.
type finding struct {
	level  level
	reason string
}

// survey is what one look at everything found out. A topic that is not in found is not
// there any more, if all there was of its kind could be seen, and unknown otherwise.
type survey struct {
	found   map[topic]finding
	unclear map[registryapi.AlertKind]bool
}

func newSurvey() survey {
	return survey{found: make(map[topic]finding), unclear: make(map[registryapi.AlertKind]bool)}
}

func (s survey) of(t topic) finding {
	f, found := s.found[t]
	switch {
	case found:
		return f
	case s.unclear[t.kind]:
		return finding{}
	default:
		return finding{level: within, reason: "is not there any more"}
	}
}

// spell is for how long a topic has been on one side of its limit without a break.
type spell struct {
	level level
	since time.Time
}

// alertVerdict is what is to be said of a topic now.
type alertVerdict struct {
	topic

	over   bool
	reason string
	since  time.Time
}

// vigil remembers what was found before. It begins anew with each leader, and after each
// time that something was unknown, which makes verdicts later and never earlier.
type vigil map[topic]spell

// take takes in a survey, and returns verdicts on what has been on one side of its limit
// for as long as after: that it is over its limit, and of what is raised, that it is not.
func (v vigil) take(s survey, raised []topic, now time.Time, after time.Duration) []alertVerdict {
	watched := make(map[topic]bool, len(s.found)+len(raised))
	for t := range s.found {
		watched[t] = false
	}
	for _, t := range raised {
		watched[t] = true
	}
	for t := range v {
		if _, still := watched[t]; !still {
			delete(v, t)
		}
	}
	var verdicts []alertVerdict
	for t, isRaised := range watched {
		f := s.of(t)
		if v[t].level != f.level {
			v[t] = spell{f.level, now}
		}
		news := f.level == over && !isRaised || f.level == within && isRaised
		if news && now.Sub(v[t].since) >= after {
			verdicts = append(verdicts, alertVerdict{topic: t, over: f.level == over, reason: f.reason, since: v[t].since})
		}
	}
	return verdicts
}
