package erase_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// search returns the files below folders that hold a word, in any case, in plain, in
// quoted-printable or in base64.
func search(t *testing.T, word string, folders ...string) []string {
	t.Helper()
	forms := forms(word)
	var found []string
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil // files come and go
			}
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			content = bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("=\r\n"), nil), []byte("\r\n"), nil)
			lower := bytes.ToLower(content)
			for i, form := range forms {
				if i == 0 && bytes.Contains(lower, form) || i > 0 && bytes.Contains(content, form) {
					found = append(found, path)
					break
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// forms returns the word as it is, which is how quoted-printable has it too, and in
// base64 at each of the three places in a group.
func forms(word string) [][]byte {
	all := [][]byte{[]byte(strings.ToLower(word))}
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + word))
		first, last := []int{0, 2, 3}[offset], len(encoded)-4
		all = append(all, []byte(encoded[first:last]))
	}
	return all
}

func TestSearchFindsEveryForm(t *testing.T) {
	t.Parallel()
	const word = "qzxsomebody"
	for _, text := range []string{
		"an " + word + ".", "AN QZXSomebody", "cut qzxso=\r\nmebody",
		base64.StdEncoding.EncodeToString([]byte("a" + word + " b")),
		base64.StdEncoding.EncodeToString([]byte("aa" + word + "b")),
		base64.StdEncoding.EncodeToString([]byte("aaa" + word)),
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(search(t, word, folder)) != 1 || len(search(t, "qzxanybody", folder)) != 0 {
			t.Errorf("in %q", text)
		}
	}
}
