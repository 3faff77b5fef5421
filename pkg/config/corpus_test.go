package config_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/pkg/config"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s wants\n%s\ngot\n%s", path, want, got)
	}
}

func region(name string) (string, bool) { return "eu-1", name == "REGION" }

func TestValidFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/valid/*.tsk")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			values, err := config.Parser{Name: filepath.Base(path), Lookup: region}.Unmarshal(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(values, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(path, ".tsk")+".json", string(got)+"\n")
		})
	}
}

// Each file has one problem or more in nearly every line, all of which are found at
// once. The secrets in them are in no message.
func TestInvalidFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/invalid/*.tsk")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			s := defaults()
			_, err := config.Load(&s, config.Sources{Path: path})
			if err == nil {
				t.Fatal("it was read")
			}
			got := messages(t, err)
			for _, secret := range []string{"hunter2", "hun", "ter2", "1234-secret"} {
				if strings.Contains(got, secret) {
					t.Errorf("%q is in the messages", secret)
				}
			}
			golden(t, strings.TrimSuffix(path, ".tsk")+".errors", got)
		})
	}
}
