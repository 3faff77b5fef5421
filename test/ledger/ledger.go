// Package ledger holds what clients of Sluice were told against what happened. [Client]
// is one of many that make requests and keep a [Command] for each; [History] reads what
// NATS has; the checks compare them with each other and with the read models, which the
// package folds from the history by rules of its own.
//
// It looks into NATS and needs an administrator's connection.
package ledger

import (
	"fmt"
	"slices"
	"testing"
)

// Outcome is what a client knows of its command.
type Outcome int

// The outcomes.
const (
	Unknown Outcome = iota // no answer: it happened once or not at all
	Done                   // answered 2xx: it happened once, and is what was answered
	Refused                // answered 409: it did not happen
)

func (o Outcome) String() string { return [...]string{"unknown", "done", "refused"}[o] }

// Command is one thing that a client asked for, however often it had to ask.
type Command struct {
	Kind    string // of the event that it leads to
	Tag     string // is in that event
	Outcome Outcome
	ID      string // of the aggregate, when done
	Version uint64 // of the aggregate after it, when done
}

// CheckCommands holds what clients were told against what happened, and returns how
// many commands came to which end.
func CheckCommands(t testing.TB, commands []Command, events []Event) map[string]int {
	t.Helper()
	happened := make(map[string][]Event)
	for _, e := range events {
		happened[e.Tag()] = append(happened[e.Tag()], e)
	}
	counts := make(map[string]int)
	for _, c := range commands {
		got := happened[c.Tag]
		delete(happened, c.Tag)
		name := fmt.Sprintf("%s %s", c.Kind, c.Outcome)
		if c.Outcome == Unknown && len(got) > 0 {
			name += ", happened"
		}
		counts[name]++
		switch {
		case len(got) > 1:
			t.Errorf("%s %s is %s and happened %d times", c.Kind, c.Tag, c.Outcome, len(got))
		case c.Outcome == Refused && len(got) > 0:
			t.Errorf("%s %s was refused and happened", c.Kind, c.Tag)
		case c.Outcome == Done && len(got) == 0:
			t.Errorf("%s %s was acknowledged and did not happen", c.Kind, c.Tag)
		case len(got) == 1 && got[0].Kind != c.Kind:
			t.Errorf("%s %s happened as %s", c.Kind, c.Tag, got[0].Kind)
		case c.Outcome == Done && (got[0].ID != c.ID || got[0].Version != fmt.Sprint(c.Version)):
			t.Errorf("%s %s was acknowledged as version %d of %s and is version %s of %s", c.Kind, c.Tag, c.Version, c.ID, got[0].Version, got[0].ID)
		}
	}
	for tag, events := range happened {
		t.Errorf("%s %s happened and nobody asked for it", events[0].Kind, tag)
	}
	return counts
}

// Others returns the events of all users but the user admin, who is there first and for
// whom no client asked.
func Others(users []Event) []Event {
	return slices.DeleteFunc(slices.Clone(users), func(e Event) bool { return e.ID == users[0].ID })
}
