package projection_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sluice/pkg/projection"
)

func TestSQLiteOpensAnyPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "with blanks.db", "a?mode=memory", "50%.db", "#1.db", "ünï.db", "new/folders/x.db"} {
		path := filepath.Join(t.TempDir(), name)
		for _, statement := range []string{"CREATE TABLE x (y INTEGER)", "INSERT INTO x VALUES (1)"} {
			db, err := projection.OpenSQLite(t.Context(), path)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := db.Reader().ExecContext(t.Context(), "DELETE FROM x"); err == nil {
				t.Errorf("%s: a reader deletes", name)
			}
			if err := db.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestSQLiteRefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "whole.db")
	db := openDB(t, whole)
	for _, statement := range thingTables.Create {
		execute(t, db.Writer(), statement)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	theirs, broken := bytes.Clone(ours), bytes.Clone(ours)
	copy(theirs[68:], []byte{0, 0, 0, 0})
	for i := 100; i < len(broken); i++ {
		broken[i] = 0x5a
	}
	for name, content := range map[string][]byte{
		"text":               []byte("dear diary"),
		"long text":          bytes.Repeat([]byte("dear diary "), 1000),
		"another's database": theirs,
		"the first bytes":    ours[:50],
		"a broken page":      broken,
	} {
		path := filepath.Join(t.TempDir(), "file.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := projection.OpenSQLite(t.Context(), path); !errors.Is(err, projection.ErrNotAModel) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	if err := os.WriteFile(whole, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	openDB(t, whole) // an empty file is a new one
}
