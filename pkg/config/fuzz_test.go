package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/pkg/config"
)

// FuzzParse reads anything. What is wrong has a place in the file; what is right is
// the same after it was written and read again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/valid/*.tsk", "testdata/invalid/*.tsk"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(err)
		}
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(b))
			for line := range strings.Lines(string(b)) {
				f.Add(line)
			}
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		values, err := config.Parser{Lookup: region}.Unmarshal([]byte(src))
		if err != nil {
			checkPlaces(t, src, err)
			return
		}
		written, err := config.Parser{}.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.Parser{}.Unmarshal(written)
		if err != nil || !reflect.DeepEqual(again, values) {
			t.Fatalf("%v is written as\n%s\nand read as %v, %v", values, written, again, err)
		}
	})
}

// FuzzLoad reads anything into settings.
func FuzzLoad(f *testing.F) {
	for _, path := range []string{"testdata/invalid/meaning.tsk", "testdata/reference.tsk", "testdata/printed.tsk"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), "5s")
	}
	f.Fuzz(func(t *testing.T, src, value string) {
		dir := folderOf(t, map[string]string{"sluice.tsk": src})
		s := defaults()
		path := filepath.Join(dir, "sluice.tsk")
		loaded, err := config.Load(&s, config.Sources{Path: path, Environ: []string{"SLUICE_HTTP_TIMEOUT=" + value}})
		if err != nil {
			checkPlaces(t, src, err)
			return
		}
		var printed strings.Builder
		if err := loaded.Print(&printed); err != nil {
			t.Fatal(err)
		}
		again, err := config.Load(&s, config.Sources{Path: filepath.Join(folderOf(t, map[string]string{"a.tsk": printed.String()}), "a.tsk")})
		if err != nil {
			t.Fatalf("%v of\n%s", err, &printed)
		}
		for _, change := range config.Diff(loaded, again) {
			t.Errorf("%+v", change)
		}
	})
}

// checkPlaces fails when a problem of a file has no place in it.
func checkPlaces(t *testing.T, src string, err error) {
	t.Helper()
	invalid, ok := errors.AsType[*config.InvalidError](err)
	if !ok || len(invalid.Problems) == 0 {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimPrefix(src, "\ufeff"), "\n")
	for _, p := range invalid.Problems {
		at := p.Origin.Position
		if p.Origin.Layer != config.File || at.Line == 0 && len(src) > 1<<20 {
			continue
		}
		if at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > utf8.RuneCountInString(lines[at.Line-1])+1 {
			t.Errorf("%v is not in the file", p)
		}
	}
}
