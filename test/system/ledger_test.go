package system_test

import (
	"fmt"
	"slices"
	"testing"
)

// outcome is what a client knows of its command.
type outcome int

const (
	unknown outcome = iota // no answer: it happened once or not at all
	done                   // answered 2xx: it happened once, and is what was answered
	refused                // answered 409: it did not happen
)

func (o outcome) String() string { return [...]string{"unknown", "done", "refused"}[o] }

// command is one thing that a client asked for, however often it had to ask.
type command struct {
	kind    string // of the event that it leads to
	tag     string // is in that event
	outcome outcome
	id      string // of the aggregate, when done
	version uint64 // of the aggregate after it, when done
}

// checkCommands holds what clients were told against what happened.
func checkCommands(t *testing.T, commands []command, events []recorded) {
	t.Helper()
	happened := make(map[string][]recorded)
	for _, e := range events {
		happened[e.tag()] = append(happened[e.tag()], e)
	}
	counts := make(map[string]int)
	for _, c := range commands {
		got := happened[c.tag]
		delete(happened, c.tag)
		name := fmt.Sprintf("%s %s", c.kind, c.outcome)
		if c.outcome == unknown && len(got) > 0 {
			name += ", happened"
		}
		counts[name]++
		switch {
		case len(got) > 1:
			t.Errorf("%s %s is %s and happened %d times", c.kind, c.tag, c.outcome, len(got))
		case c.outcome == refused && len(got) > 0:
			t.Errorf("%s %s was refused and happened", c.kind, c.tag)
		case c.outcome == done && len(got) == 0:
			t.Errorf("%s %s was acknowledged and did not happen", c.kind, c.tag)
		case len(got) == 1 && got[0].kind != c.kind:
			t.Errorf("%s %s happened as %s", c.kind, c.tag, got[0].kind)
		case c.outcome == done && (got[0].id != c.id || got[0].version != fmt.Sprint(c.version)):
			t.Errorf("%s %s was acknowledged as version %d of %s and is version %s of %s", c.kind, c.tag, c.version, c.id, got[0].version, got[0].id)
		}
	}
	for tag, events := range happened {
		t.Errorf("%s %s happened and nobody asked for it", events[0].kind, tag)
	}
	t.Logf("commands: %v", counts)
}

// others returns the events of all users but the user admin, who is there first and for
// whom no client asked.
func others(users []recorded) []recorded {
	return slices.DeleteFunc(slices.Clone(users), func(e recorded) bool { return e.id == users[0].id })
}

// checkVersions holds that the events of each aggregate are numbered 1, 2, 3 ….
func checkVersions(t *testing.T, events []recorded) {
	t.Helper()
	last, ids := make(map[string]int), make(map[string]bool)
	for _, e := range events {
		last[e.id]++
		if e.version != fmt.Sprint(last[e.id]) {
			t.Errorf("event %d is version %s of %s after %d others", e.sequence, e.version, e.id, last[e.id]-1)
		}
		if ids[e.source+" "+e.eventID] {
			t.Errorf("event %s is there twice", e.eventID)
		}
		ids[e.source+" "+e.eventID] = true
	}
}

// checkUnique holds that no two users have one name or address.
func checkUnique(t *testing.T, users []recorded) {
	t.Helper()
	for _, member := range []string{"username", "email"} {
		holders := make(map[string]string)
		for _, e := range users {
			if e.kind != "user.created" {
				continue
			}
			if other, taken := holders[e.text(member)]; taken {
				t.Errorf("%s %s belongs to %s and %s", member, e.text(member), other, e.id)
			}
			holders[e.text(member)] = e.id
		}
	}
}
