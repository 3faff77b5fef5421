package config_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bojanz/currency"

	"sluice/pkg/config"
)

// settings has every type and tag.
type settings struct {
	LogLevel slog.Level `doc:"What is logged." reload:"true"`
	HTTP     httpSettings
	Policies map[string]policy `doc:"By target." reload:"true"`
	SMTP     smtpSettings
	Labels   map[string]string       `doc:"Of every line of the log."`
	Routing  map[string]routeSetting `doc:"By reaction."`
	Hidden   chan int                `config:"-"`
}

type httpSettings struct {
	Address string        `doc:"Where the gateway listens."`
	Timeout time.Duration `doc:"Of one request."`
	MaxBody config.Size   `doc:"The largest body of a request, beyond which it is refused before anything of it is looked at."`
	Hosts   []string      `doc:"That are served."`
	Ports   []uint16      `doc:"That are open."`
	Debug   bool          `doc:"Shows more."`
	Share   float64       `doc:"Of requests that are traced." reload:"true"`
}

type policy struct {
	Timeout time.Duration `doc:"Of a call."`
	Retry   struct {
		Attempts int `config:"tries" doc:"With the first."`
	}
}

func (p policy) Validate() error {
	var errs []error
	if p.Timeout < 0 {
		errs = append(errs, errors.New("timeout is negative"))
	}
	if p.Retry.Attempts > 10 {
		errs = append(errs, errors.New("retry.tries is more than 10"))
	}
	return errors.Join(errs...)
}

type smtpSettings struct {
	User     string          `doc:"Who sends."`
	Password string          `doc:"Of the user." secret:"true"`
	PIN      int             `doc:"Of the user's card." secret:"true"`
	Fee      currency.Amount `doc:"For each mail."`
	Footer   string          `doc:"Of each mail."`
}

type routeSetting struct {
	Subjects []string           `doc:"That are consumed."`
	Filters  []config.Condition `doc:"All of which must hold."`
}

func defaults() settings {
	s := settings{
		HTTP:     httpSettings{Address: "127.0.0.1:8080", Timeout: 5 * time.Second, MaxBody: 1 << 20, Hosts: []string{"localhost"}, Share: 0.5},
		Policies: map[string]policy{"default": {Timeout: time.Second}},
		SMTP:     smtpSettings{User: "sluice", Password: "initial"},
	}
	return s
}

// folderOf writes files, given as name and content, and returns the folder.
func folderOf(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load reads a file over the defaults.
func load(t testing.TB, content string, environ ...string) (settings, *config.Loaded, error) {
	t.Helper()
	dir := folderOf(t, map[string]string{"sluice.tsk": content})
	s := defaults()
	loaded, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "sluice.tsk"), Environ: environ})
	return s, loaded, err
}

// mustLoad is load of a file that is right.
func mustLoad(t testing.TB, content string, environ ...string) (settings, *config.Loaded) {
	t.Helper()
	s, loaded, err := load(t, content, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return s, loaded
}

// messages returns the lines of an error without the folders of its files.
func messages(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if place, rest, ok := strings.Cut(line, ": "); ok && strings.Contains(place, "/") {
			line = filepath.Base(place) + ": " + rest
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// originOf returns where a setting comes from, without folders.
func originOf(t testing.TB, loaded *config.Loaded, path string) string {
	t.Helper()
	for _, s := range loaded.Settings() {
		if s.Path == path {
			s.Origin.Position.File = filepath.Base(s.Origin.Position.File)
			return s.Origin.String()
		}
	}
	t.Fatalf("there is no setting %s", path)
	return ""
}
