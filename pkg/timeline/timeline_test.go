package timeline_test

import (
	"errors"
	"testing"
	"time"

	"sluice/pkg/timeline"
)

func at(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 567, time.UTC) }

func TestWhichPositionsHold(t *testing.T) {
	t.Parallel()
	first, err := timeline.Parse(at(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	second := first.Fork(50, at(2)) // a backup that ended at 50
	third := second.Fork(70, at(3)) // one of the second timeline
	other := second.Fork(60, at(4)) // an earlier one, instead of the third
	early := second.Fork(30, at(5)) // one from before the first fork
	again := first.Fork(50, at(6))  // the first backup once more
	for name, row := range map[string]struct {
		now      timeline.Timeline
		began    time.Time
		sequence uint64
		want     bool
	}{
		"the first":                            {first, at(1), 1 << 40, true},
		"another creation":                     {first, at(9), 0, false},
		"up to where the backup ends":          {second, at(1), 50, true},
		"beyond where the backup ends":         {second, at(1), 51, false},
		"made after the restore":               {second, at(2), 51, true},
		"two timelines ago":                    {third, at(1), 50, true},
		"two timelines ago, undone at once":    {third, at(1), 51, false},
		"of the timeline before":               {third, at(2), 70, true},
		"of the timeline before, undone":       {third, at(2), 71, false},
		"of a timeline that was given up":      {other, at(3), 1, false},
		"undone by the second restore":         {early, at(1), 31, false},
		"before both":                          {early, at(1), 30, true},
		"of the same backup, restored earlier": {again, at(2), 1, false},
		"without a time":                       {first, time.Time{}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := row.now.Holds(row.began, row.sequence); got != row.want {
				t.Errorf("position %d of the timeline of %s holds: %t", row.sequence, row.began, got)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	first, err := timeline.Parse(at(1), map[string]string{"owner": "x"})
	if err != nil {
		t.Fatal(err)
	}
	third := first.Fork(50, at(2)).Fork(70, at(3))
	const want = "2026-01-02T03:04:01.000000567Z=50 2026-01-02T03:04:02.000000567Z=70 2026-01-02T03:04:03.000000567Z"
	if got := third.Metadata(); got != want {
		t.Fatalf("metadata %q", got)
	}
	back, err := timeline.Parse(at(9), map[string]string{timeline.MetadataKey: want})
	if err != nil || back.Metadata() != want || !back.Holds(at(1), 50) || back.Holds(at(1), 51) {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "yesterday", "2026-01-02T03:04:01Z=50", "2026-01-02T03:04:01Z 2026-01-02T03:04:02Z",
		"2026-01-02T03:04:01Z=x 2026-01-02T03:04:02Z", "2026-01-02T03:04:01Z=-1 2026-01-02T03:04:02Z",
	} {
		if got, err := timeline.Parse(at(1), map[string]string{timeline.MetadataKey: text}); !errors.Is(err, timeline.ErrMalformed) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}
