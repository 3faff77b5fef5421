package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/pkg/config"
)

func TestSecretsAreReadFromTheirFolder(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"sluice.tsk": "[smtp]\npassword: @file.read(\"current/password\")\npin: @file.read(\"pin\")\nfooter: \"by ${smtp.password}\""})
	// As Kubernetes mounts them: links inside the folder.
	secrets := folderOf(t, map[string]string{"..data/password": "s3cret\r\n", "pin": "1234"})
	if err := os.Symlink("..data", filepath.Join(secrets, "current")); err != nil {
		t.Fatal(err)
	}
	s := defaults()
	loaded, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "sluice.tsk"), Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	if s.SMTP.Password != "s3cret" || s.SMTP.PIN != 1234 || s.SMTP.Footer != "by s3cret" {
		t.Errorf("%+v", s.SMTP)
	}
	if got := originOf(t, loaded, "smtp.password"); got != "sluice.tsk:2:11 from file current/password" {
		t.Error(got)
	}
	var printed strings.Builder
	if err := loaded.Print(&printed); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"s3cret", "1234"} {
		if strings.Contains(printed.String(), secret) {
			t.Errorf("%s is printed:\n%s", secret, &printed)
		}
	}
}

func TestAbsoluteNamesOfSecrets(t *testing.T) {
	t.Parallel()
	secrets := folderOf(t, map[string]string{"password": "s3cret"})
	dir := folderOf(t, map[string]string{"sluice.tsk": "[smtp]\npassword: @file.read(\"" + secrets + "/password\")\nuser: @file.read(\"/etc/hostname\")"})
	s := defaults()
	_, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "sluice.tsk"), Secrets: secrets})
	if got := messages(t, err); got != `sluice.tsk:3:7: "@file.read(\"/etc/hostname\")" lies outside the folder of secrets`+"\n" {
		t.Error(got)
	}
}

func TestSecretsAreConfinedAndNeverQuoted(t *testing.T) {
	t.Parallel()
	outside := folderOf(t, map[string]string{"shadow": "root"})
	dir := folderOf(t, map[string]string{
		"binary": "\xff", "large": strings.Repeat("x", 70_000), "number": "12x-secret", "folder/x": "",
		"sluice.tsk": `
$from: @file.read("number")
[http]
address: @file.read("../x")
timeout: @file.read("number")
max_body: $from
hosts: @file.read("pipe")
ports: @file.read("number")
debug: @file.read("link")
share: "${http.timeout}"
[smtp]
user: @file.read("large")
pin: @file.read("number")
fee: @file.read("binary")
footer: @file.read("folder")
log_level: 1
`,
	})
	if err := os.Symlink(filepath.Join(outside, "shadow"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := defaults()
	_, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "sluice.tsk")})
	const want = `sluice.tsk:4:10: "@file.read(\"../x\")" cannot be read: path escapes from parent
sluice.tsk:5:10 from file number: http.timeout: is not a duration such as 250ms, 5s or 2m
sluice.tsk:6:11 from file number: http.max_body: is not a size such as 512, 10MB or 64MiB
sluice.tsk:7:8: "@file.read(\"pipe\")" is not a regular file
sluice.tsk:8:8 from file number: http.ports[0]: is not a whole number
sluice.tsk:9:8: "@file.read(\"link\")" cannot be read: path escapes from parent
sluice.tsk:10:8: http.share: is a string; wanted: number
sluice.tsk:12:7: "@file.read(\"large\")" is larger than 64KiB
sluice.tsk:13:6 from file number: smtp.pin: is not a whole number
sluice.tsk:14:6: "@file.read(\"binary\")" is not UTF-8
sluice.tsk:15:9: "@file.read(\"folder\")" is not a regular file
sluice.tsk:16:1: smtp: "log_level" is not a known setting
`
	if got := messages(t, err); got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
}

// A type's own error may quote what it got.
func TestATypesOwnErrorDoesNotTellASecret(t *testing.T) {
	t.Parallel()
	var s struct {
		Level level `secret:"true"`
		Open  level
	}
	_, err := config.Load(&s, config.Sources{Environ: []string{"SLUICE_LEVEL=hush", "SLUICE_OPEN=loud"}})
	if want := "environment SLUICE_LEVEL: level: is not valid\nenvironment SLUICE_OPEN: open: \"loud\" is not valid: no level loud"; err == nil || err.Error() != want {
		t.Error(err)
	}
}

// level refuses everything, and quotes it.
type level string

func (l *level) UnmarshalText(b []byte) error { return levelError(b) }

type levelError string

func (e levelError) Error() string { return "no level " + string(e) }
