package eventtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/event/eventtest"
)

type planted struct {
	Kind string `json:"kind"`
}

func (planted) EventType() string { return "tree.planted" }

type measured struct {
	Kind   string `json:"kind"`
	Height int    `json:"height,omitempty"`
}

func (measured) EventType() string { return "tree.planted" }

type renamed struct {
	Species string `json:"species"`
}

func (renamed) EventType() string { return "tree.planted" }

var (
	original   = event.NewRegistry("tree", event.Define[planted](1))
	extended   = event.NewRegistry("tree", event.Define[measured](1))
	broken     = event.NewRegistry("tree", event.Define[renamed](1))
	raised     = event.NewRegistry("tree", event.Define[renamed](2, event.From(1, func(p planted) renamed { return renamed{Species: p.Kind} })))
	tampered   = event.NewRegistry("tree", event.Define[renamed](2, event.From(1, func(r renamed) renamed { return r })))
	forgetting = event.NewRegistry("tree")
)

// recorder is a test that goes on after a failure and remembers it.
type recorder struct {
	testing.TB
	failures []string
}

func (*recorder) Helper()             {}
func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, a ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, a...))
}

func failures(t *testing.T, r *event.Registry, dir string) string {
	t.Helper()
	rec := &recorder{TB: t}
	eventtest.CheckSchemas(rec, r, dir)
	return strings.Join(rec.failures, "\n")
}

func TestGoldenSchemas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		name     string
		write    bool
		registry *event.Registry
		want     string // in the failures; empty for none
	}{
		{name: "no golden file", registry: original, want: "run the test with -update"},
		{name: "first golden file", registry: original, write: true},
		{name: "unchanged", registry: original},
		{name: "optional member added", registry: extended},
		{name: "member renamed", registry: broken, want: "kind was removed, species is required now; raise the version to 2"},
		{name: "written all the same", registry: broken, write: true, want: "kind was removed"},
		{name: "new version without its file", registry: raised, want: "tree.planted.v2 has no golden schema"},
		{name: "new version", registry: raised, write: true},
		{name: "old version changed", registry: tampered, want: "leave the type that its upcaster reads as it was"},
		{name: "type gone", registry: forgetting, want: "tree.planted.v1.schema.json: nothing in the registry reads such events any more"},
	} {
		if c.write {
			eventtest.WriteSchemas(t, c.registry, dir)
		}
		got := failures(t, c.registry, dir)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: failures are %q, want %q", c.name, got, c.want)
		}
	}
}

// An added member is held from the next -update on.
func TestAddedMemberIsRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	eventtest.WriteSchemas(t, original, dir)
	eventtest.WriteSchemas(t, extended, dir)
	if got := failures(t, original, dir); !strings.Contains(got, "height was withdrawn") {
		t.Errorf("failures are %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "tree.planted.v1.schema.json")); err != nil || !strings.Contains(string(b), "\n  \"type\": \"object\",\n") {
		t.Errorf("golden file is %s, %v", b, err)
	}
}
