package eventtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/event/eventtest"
)

func TestGoldenEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(r *event.Registry, samples ...event.Data) string {
		rec := &recorder{TB: t}
		eventtest.CheckEvents(rec, r, dir, samples...)
		return strings.Join(rec.failures, "\n")
	}
	oak := planted{Kind: "oak"}
	eventtest.WriteEvents(t, original, dir, oak)
	if got := check(original, oak); got != "" {
		t.Errorf("right after writing: %s", got)
	}
	if got := check(original, planted{Kind: "ash"}); !strings.Contains(got, "its golden file has") {
		t.Errorf("an event in another form: %q", got)
	}
	if got := check(original); !strings.Contains(got, "there are samples of []") {
		t.Errorf("a type without a sample: %q", got)
	}

	// What is there is never written over, and read by every later version.
	eventtest.WriteEvents(t, original, dir, planted{Kind: "ash"})
	elm := renamed{Species: "elm"}
	eventtest.WriteEvents(t, raised, dir, elm)
	if got := check(raised, elm); got != "" {
		t.Errorf("with a second version: %s", got)
	}
	written, err := os.ReadFile(filepath.Join(dir, "tree.planted.v1.golden"))
	if err != nil || !strings.Contains(string(written), `{"kind":"oak"}`) {
		t.Errorf("the golden file of version 1 has %q, %v", written, err)
	}
}
