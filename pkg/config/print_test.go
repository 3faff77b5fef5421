package config_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

const printable = `
$name: "shop"
[http]
timeout: 90s
hosts: ["a # no comment", "b\n\"c\""]
[policies]
"user.get" { timeout: 250ms }
NAME { timeout: 3s }
[smtp]
password: "hunter2"
pin: 12345
fee: "0.05 EUR"
footer: "\u0007 ${$name} \$5"
[routing.welcome]
filters: [{ data: "total", greater: 100, not_equals: "x" }]
`

func TestPrintShowsValuesAndOrigins(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"sluice.tsk": printable})
	s := defaults()
	loaded, err := config.Load(&s, config.Sources{
		Path: filepath.Join(dir, "sluice.tsk"), Environ: []string{"SLUICE_HTTP_DEBUG=true"},
		Flags: []config.FlagValue{{Name: "http", Path: "http.address", Value: ":80"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := loaded.Print(&printed); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/printed.tsk", strings.ReplaceAll(printed.String(), dir+"/", ""))
}

func TestWhatIsPrintedReadsTheSame(t *testing.T) {
	t.Parallel()
	want, loaded := mustLoad(t, printable)
	var printed strings.Builder
	if err := loaded.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(printed.String(), "hunter2") || strings.Contains(printed.String(), "12345") {
		t.Error(printed.String())
	}
	got, again := mustLoad(t, printed.String())
	want.SMTP.Password, want.SMTP.PIN = defaults().SMTP.Password, 0 // masked
	want.HTTP.Ports = []uint16{}                                    // as the file says, no longer nil
	want.Routing["welcome"] = routeSetting{Subjects: []string{}, Filters: want.Routing["welcome"].Filters}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\n got %+v\n of %s", want, got, &printed)
	}
	if changes := config.Diff(loaded, again); len(changes) != 2 || changes[0].Path != "smtp.password" || changes[1].Path != "smtp.pin" {
		t.Errorf("%+v", changes)
	}
}

func TestReferenceHasEverySettingAndItsDefault(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := config.Reference(&b, defaults()); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/reference.tsk", b.String())
	got, loaded := mustLoad(t, b.String())
	want := defaults()
	want.HTTP.Ports = []uint16{} // as the file says, no longer nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\n got %+v", want, got)
	}
	for _, setting := range loaded.Settings() {
		if !strings.Contains(b.String(), setting.Doc) && len(setting.Doc) < 50 {
			t.Errorf("%s is not documented", setting.Path)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	byPath := map[string]config.Setting{}
	for _, s := range config.Settings(defaults()) {
		byPath[s.Path] = s
		if s.Doc == "" {
			t.Errorf("%s has no doc", s.Path)
		}
	}
	for path, want := range map[string]config.Setting{
		"log_level":                {Type: "string", Value: `"INFO"`, Reload: true},
		"http.max_body":            {Type: "size", Value: "1MiB"},
		"http.ports":               {Type: "list of whole number", Value: "[]"},
		"policies.default.timeout": {Type: "duration", Value: "1s", Reload: true},
		"smtp.password":            {Type: "string", Value: config.Mask, Secret: true},
		"smtp.fee":                 {Type: "money"},
	} {
		got := byPath[path]
		if got.Type != want.Type || got.Value != want.Value || got.Secret != want.Secret || got.Reload != want.Reload {
			t.Errorf("%s is %+v", path, got)
		}
	}
}

func TestTagsHoldForWhatIsBelow(t *testing.T) {
	t.Parallel()
	var s struct {
		Keys struct {
			Sign string
			More map[string]string
		} `secret:"true" reload:"true"`
	}
	s.Keys.Sign, s.Keys.More = "hunter2", map[string]string{"old": "hunter1"}
	found := config.Settings(&s)
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	for _, setting := range found {
		if !setting.Secret || !setting.Reload || setting.Value != config.Mask {
			t.Errorf("%+v", setting)
		}
	}
	dir := folderOf(t, map[string]string{"a.tsk": "[keys]\nsign: 5\n[keys.more]\nnew: hunter3\nold: 77"})
	_, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "a.tsk")})
	if got := messages(t, err); strings.Contains(got, "hunter3") || strings.Contains(got, "77") || strings.Count(got, "\n") != 3 {
		t.Error(got)
	}
}

func TestDiffTellsWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	_, before := mustLoad(t, "[http]\naddress: \"a\"\ntimeout: 5s\nshare: 0.1\n[policies.old]\ntimeout: 1s\n[smtp]\npassword: \"one\"")
	_, after := mustLoad(t, "log_level: \"DEBUG\"\n[http]\naddress: \"b\"\ntimeout: 5000ms\nshare: 0.2\n[policies.new]\ntimeout: 1s\n[smtp]\npassword: \"two\"")
	type change struct{ path, before, after string }
	list := func(changes config.Changes) (all []change) {
		for _, c := range changes {
			all = append(all, change{c.Path, c.Before, c.After})
		}
		return all
	}
	changes := config.Diff(before, after)
	if got, want := list(changes.Reloadable()), []change{
		{"log_level", `"INFO"`, `"DEBUG"`},
		{"http.share", "0.1", "0.2"},
		{"policies.new.timeout", "", "1s"},
		{"policies.new.retry.tries", "", "0"},
		{"policies.old.timeout", "1s", ""},
		{"policies.old.retry.tries", "0", ""},
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("may be reloaded: %v", got)
	}
	if got, want := list(changes.NeedRestart()), []change{{"http.address", `"a"`, `"b"`}, {"smtp.password", config.Mask, config.Mask}}; !reflect.DeepEqual(got, want) {
		t.Errorf("needs a restart: %v", got)
	}
	if len(config.Diff(after, after)) != 0 {
		t.Error("a configuration differs from itself")
	}
}

func TestDurationsAndSizesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	type values struct {
		Wait time.Duration
		Size config.Size
	}
	for _, want := range []values{
		{0, 0},
		{time.Second, 1},
		{90 * time.Minute, 1024},
		{2 * time.Hour, 1 << 40},
		{time.Hour + time.Second, 1000},
		{1500 * time.Microsecond, 5 << 50},
		{-20 * time.Minute, 1<<63 - 1},
		{10*time.Hour + 10*time.Minute, 3 << 20},
	} {
		var b strings.Builder
		if err := config.Reference(&b, want); err != nil {
			t.Fatal(err)
		}
		var got values
		dir := folderOf(t, map[string]string{"a.tsk": b.String()})
		if _, err := config.Load(&got, config.Sources{Path: filepath.Join(dir, "a.tsk")}); err != nil || got != want {
			t.Errorf("want %v, got %v, %v, from %s", want, got, err, &b)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]config.Size{
		"0": 0, "512": 512, "512B": 512, "1kB": 1000, "1KB": 1000, "1.5KiB": 1536, "0.001kB": 1, "64MiB": 64 << 20, "2GB": 2e9, "3GiB": 3 << 30, "1TB": 1e12, "8TiB": 8 << 40,
	} {
		if got, err := config.ParseSize(s); got != want || err != nil {
			t.Errorf("%s is %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "B", "-1", "+1", "1.5", "1.2.3MB", "0.0001kB", "1mb", "1 MB", "1e3", "9223372036854775808", "9999999TiB", ".5MB", "5.", "0x10"} {
		if got, err := config.ParseSize(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}
