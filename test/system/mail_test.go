package system_test

import (
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/test/ledger"
)

// checkMails holds that the folder has exactly one file for each mail, and nothing
// else.
func checkMails(t *testing.T, folder string, expected map[string]ledger.Letter) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string) // file by Message-ID
	for _, file := range files {
		want, ok := expected[strings.TrimSuffix(file.Name(), ".eml")]
		if !ok {
			t.Errorf("nobody asked for file %s", file.Name())
			continue
		}
		messageID := checkMail(t, filepath.Join(folder, file.Name()), want)
		if other, twice := seen[messageID]; twice {
			t.Errorf("Message-ID %s is in %s and %s", messageID, other, file.Name())
		}
		seen[messageID] = file.Name()
	}
	if len(seen) != len(expected) {
		t.Errorf("%d mails, not %d", len(seen), len(expected))
	}
}

func checkMail(t *testing.T, path string, want ledger.Letter) (messageID string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	msg, err := mail.ReadMessage(file)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	h := msg.Header
	if h.Get("Message-ID") != "<"+want.ID+"@sluice>" || h.Get("To") != "<"+want.To+">" || h.Get("Subject") != want.Subject {
		t.Errorf("mail %s: %v, want %+v", path, h, want)
	}
	return h.Get("Message-ID")
}
