// Package eventtest is for the tests of packages that declare events. Golden files
// hold what was ever written, so that a change which would make stored events
// unreadable fails before it is released:
//
//	func TestEventsStayReadable(t *testing.T) {
//		if *update {
//			eventtest.WriteEvents(t, orderapi.Events, "testdata", samples...)
//			eventtest.WriteSchemas(t, orderapi.Events, "testdata")
//		}
//		eventtest.CheckEvents(t, orderapi.Events, "testdata", samples...)
//		eventtest.CheckSchemas(t, orderapi.Events, "testdata")
//	}
//
// For each version of each type there is its wire form, order.created.v1.golden, and
// its schema, order.created.v1.schema.json.
package eventtest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/event"
)

const suffix = ".schema.json"

// CheckSchemas compares each schema of the registry with its golden file in folder
// dir. It fails when a member was removed, retyped or made required within one version,
// and says what to do; an optional member that was added is fine. It also fails when
// a golden file has no schema any more.
func CheckSchemas(t testing.TB, registry *event.Registry, dir string) {
	t.Helper()
	var files []string
	for _, s := range registry.Schemas() {
		files = append(files, s.Key()+suffix)
		golden, err := os.ReadFile(filepath.Join(dir, s.Key()+suffix))
		if err != nil {
			t.Errorf("%s has no golden schema (run the test with -update): %v", s.Key(), err)
			continue
		}
		if err := s.Succeed(golden); err != nil {
			t.Error(err)
		}
	}
	golden, err := filepath.Glob(filepath.Join(dir, registry.Entity()+".*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		if !slices.Contains(files, filepath.Base(file)) {
			t.Errorf("%s: nothing in the registry reads such events any more; they are stored, so keep the type", file)
		}
	}
}

// WriteSchemas writes the golden files that are absent, and those to which optional
// members were added. One that differs otherwise stays: [CheckSchemas] tells.
func WriteSchemas(t testing.TB, registry *event.Registry, dir string) {
	t.Helper()
	for _, s := range registry.Schemas() {
		file := filepath.Join(dir, s.Key()+suffix)
		golden, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		text := slices.Clone(s.JSON)
		if indentErr := text.Indent(jsontext.WithIndent("  ")); indentErr != nil {
			t.Fatal(indentErr)
		}
		text = append(text, '\n')
		if bytes.Equal(text, golden) || err == nil && s.Succeed(golden) != nil {
			continue
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
