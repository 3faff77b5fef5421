package config_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bojanz/currency"

	"sluice/pkg/config"
)

func TestEveryTypeIsRead(t *testing.T) {
	t.Parallel()
	got, _ := mustLoad(t, `
log_level: "warn"
[http]
address: "0.0.0.0:80"
timeout: 1m30s
max_body: 64MiB
hosts: ["a", "b"]
ports: [80, 65535]
debug: true
share: 0.25
[policies]
"user.get" { timeout: "250ms"; retry { tries: 2 } }
default { retry { tries: 4 } }
[smtp]
password: "p"
pin: 1234
fee: "0.05 EUR"
[labels]
team: "shop"
"a b": ""
[routing.welcome]
subjects: ["user.created.*"]
filters: [{ data: "total", greater: 100 }]
`)
	want := defaults()
	want.LogLevel = slog.LevelWarn
	want.HTTP = httpSettings{
		Address: "0.0.0.0:80", Timeout: 90 * time.Second, MaxBody: 64 << 20, Hosts: []string{"a", "b"},
		Ports: []uint16{80, 65535}, Debug: true, Share: 0.25,
	}
	get := policy{Timeout: 250 * time.Millisecond}
	get.Retry.Attempts = 2
	fallback := policy{Timeout: time.Second} // what the file does not say stays
	fallback.Retry.Attempts = 4
	want.Policies = map[string]policy{"user.get": get, "default": fallback}
	want.SMTP.Password, want.SMTP.PIN = "p", 1234
	want.SMTP.Fee, _ = currency.NewAmount("0.05", "EUR")
	want.Labels = map[string]string{"team": "shop", "a b": ""}
	want.Routing = map[string]routeSetting{"welcome": {
		Subjects: []string{"user.created.*"},
		Filters:  []config.Condition{{Data: "total", Greater: config.Number("100")}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\n got %+v", want, got)
	}
}

func TestLaterLayersWin(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"sluice.tsk": "[http]\naddress: \"file\"\ntimeout: 1s\nmax_body: @env(\"BODY\", 5kB)\nshare: @env(\"SHARE\")\n[policies.user]\ntimeout: 2s"})
	s := defaults()
	loaded, err := config.Load(&s, config.Sources{
		Path: filepath.Join(dir, "sluice.tsk"),
		Environ: []string{
			"SLUICE_HTTP_ADDRESS=environment", "SLUICE_HTTP_TIMEOUT=2s", "SLUICE_HTTP_HOSTS=a, b,c", "SLUICE_LOG_LEVEL=error", "SLUICE_HTTP_PORTS=",
			"SLUICE_POLICIES_USER_TIMEOUT=3s", "SLUICE_POLICIES_DEFAULT_RETRY_TRIES=7", "SHARE=0.75", "SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_CONFIG=x", "PATH=/bin",
		},
		Flags: []config.FlagValue{{Name: "http", Path: "http.address", Value: "first"}, {Name: "http", Path: "http.address", Value: "flag"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTP.Address != "flag" || s.HTTP.Timeout != 2*time.Second || s.HTTP.MaxBody != 5000 || s.HTTP.Share != 0.75 ||
		!slices.Equal(s.HTTP.Hosts, []string{"a", "b", "c"}) || len(s.HTTP.Ports) != 0 || s.LogLevel != slog.LevelError ||
		s.Policies["user"].Timeout != 3*time.Second || s.Policies["default"].Retry.Attempts != 7 || s.Policies["default"].Timeout != time.Second {
		t.Errorf("%+v", s)
	}
	for path, want := range map[string]string{
		"http.address":                 "flag --http",
		"http.timeout":                 "environment SLUICE_HTTP_TIMEOUT",
		"http.max_body":                "sluice.tsk:4:11 from the default of BODY",
		"http.share":                   "sluice.tsk:5:8 from environment SHARE",
		"http.debug":                   "default",
		"policies.user.timeout":        "environment SLUICE_POLICIES_USER_TIMEOUT",
		"policies.user.retry.tries":    "default",
		"policies.default.retry.tries": "environment SLUICE_POLICIES_DEFAULT_RETRY_TRIES",
	} {
		if got := originOf(t, loaded, path); got != want {
			t.Errorf("%s comes from %s, not %s", path, got, want)
		}
	}
	if unused := loaded.Unused(); !slices.Equal(unused, []string{"SLUICE_SERVICE_HOST"}) {
		t.Errorf("unused are %v", unused)
	}
}

func TestEnvironmentAndFlagsAreCheckedAlike(t *testing.T) {
	t.Parallel()
	s := defaults()
	_, err := config.Load(&s, config.Sources{
		Environ: []string{
			"SLUICE_HTTP_TIMEOUT=soon", "SLUICE_HTTP_DEBUG=1", "SLUICE_HTTP_SHARE=NaN", "SLUICE_HTTP_PORTS=80,0x50", "SLUICE_SMTP_PIN=12three",
			"SLUICE_HTTP_ADDRESS=\xff", "SLUICE_SMTP_FEE=1e3 EUR", "SLUICE_POLICIES_DEFAULT_TIMEOUT=-1s",
		},
		Flags: []config.FlagValue{{Name: "body", Path: "http.maxbody", Value: "1"}, {Name: "tries", Path: "policies.default.retry.tries", Value: "1_0"}},
	})
	const want = `environment SLUICE_HTTP_ADDRESS: http.address: is not UTF-8
environment SLUICE_HTTP_DEBUG: http.debug: "1" is neither true nor false
environment SLUICE_HTTP_PORTS: http.ports[1]: "0x50" is not a whole number
environment SLUICE_HTTP_SHARE: http.share: "NaN" is not a number
environment SLUICE_HTTP_TIMEOUT: http.timeout: "soon" is not a duration such as 250ms, 5s or 2m
environment SLUICE_SMTP_FEE: smtp.fee: "1e3 EUR" is not money such as "19.99 EUR"
environment SLUICE_SMTP_PIN: smtp.pin: is not a whole number
flag --body: "http.maxbody" is not a known setting; did you mean http.max_body?
flag --tries: policies.default.retry.tries: "1_0" is not a whole number`
	if err == nil || err.Error() != want {
		t.Errorf("want\n%s\ngot\n%v", want, err)
	}
}

func TestAVariableThatIsEmptyIsSet(t *testing.T) {
	t.Parallel()
	s, _ := mustLoad(t, "[http]\naddress: @env(\"ADDRESS\", \"default\")", "ADDRESS=", "SLUICE_SMTP_USER=")
	if s.HTTP.Address != "" || s.SMTP.User != "" {
		t.Errorf("%+v", s)
	}
}

func TestTheNearestNameIsSuggested(t *testing.T) {
	t.Parallel()
	for wrong, want := range map[string]string{"hots": "hosts", "prots": "ports", "Timeout": "timeout", "max_bodies": ""} {
		_, _, err := load(t, "[http]\n"+wrong+": 1")
		if _, hint, _ := strings.Cut(messages(t, err), "did you mean "); strings.TrimSuffix(hint, "?\n") != want {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestOneVariableForTwoSettingsIsRefused(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, "[policies]\n\"user.get\" {}\nuser_get {}", "SLUICE_POLICIES_USER_GET_TIMEOUT=5s")
	if got := messages(t, err); !strings.Contains(got, "environment SLUICE_POLICIES_USER_GET_TIMEOUT: could be policies.\"user.get\".timeout or policies.user_get.timeout") {
		t.Error(got)
	}
}

func TestNothingIsSetAfterAProblem(t *testing.T) {
	t.Parallel()
	got, _, err := load(t, "[http]\naddress: \"new\"\ntimeout: \"soon\"\n[policies.default]\ntimeout: 9s\n[labels]\na: \"b\"")
	if err == nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("%v: %+v", err, got)
	}
	invalid, ok := errors.AsType[*config.InvalidError](err)
	if !ok || len(invalid.Problems) != 1 || invalid.Problems[0].Origin.Position.Line != 3 || invalid.Problems[0].Path != "http.timeout" {
		t.Errorf("%#v", err)
	}
}

func TestOverridingWhatAReferenceCopiedChangesOneCopy(t *testing.T) {
	t.Parallel()
	s, _ := mustLoad(t, "$common: { timeout: 1s }\n[policies]\na: $common\nb: $common", "SLUICE_POLICIES_A_TIMEOUT=9s")
	if s.Policies["a"].Timeout != 9*time.Second || s.Policies["b"].Timeout != time.Second {
		t.Errorf("%+v", s.Policies)
	}
}

func TestAMissingFileIsAProblem(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"none.tsk", "none/none.tsk", "."} {
		s := defaults()
		_, err := config.Load(&s, config.Sources{Path: filepath.Join(t.TempDir(), path)})
		if err == nil || path != "." && !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestABlockIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"labels { a: \"x\" }\n[labels]\nb: \"y\"":    `sluice.tsk:2:2: "labels" was set before, at `,
		"labels { a: \"x\" }\n[labels.a]\nb: 1":      `sluice.tsk:2:2: "labels" was set before, at `,
		"[labels]\na: \"x\"\n[labels.a]\nb: 1":       `sluice.tsk:3:9: "labels.a" was set before, at `,
		"[policies.a]\n[policies]\na { }\n":          `sluice.tsk:3:1: "a" was set before, at `,
		"$a: 1\n$a: 2\n":                             `sluice.tsk:2:1: "$a" was set before, at `,
		"[policies]\na { timeout: 1s, timeout: 2s }": `sluice.tsk:2:18: "timeout" was set before, at `,
	} {
		_, _, err := load(t, file)
		if got := messages(t, err); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s\nwant %s\ngot %s", file, want, got)
		}
	}
}

func TestEachProblemIsOneLine(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, "[http]\ntimeout: @env(\"A\\nB\", \"so\\non\")\n\"\\n\": 1\n[\"a\\nb\"]")
	if got := messages(t, err); strings.Count(got, "\n") != 3 {
		t.Error(got)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, strings.Repeat("}\n", 1000))
	invalid, ok := errors.AsType[*config.InvalidError](err)
	if !ok || len(invalid.Problems) != 50 || invalid.More != 950 || !strings.HasSuffix(err.Error(), "\nand 950 more") {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var chain, bomb strings.Builder
	chain.WriteString("$v0: 1\n")
	bomb.WriteString("$v0: [1]\n")
	for i := range 100 {
		next, last := string(rune('a'+i/26))+string(rune('a'+i%26)), string(rune('a'+(i-1)/26))+string(rune('a'+(i-1)%26))
		if i == 0 {
			last = "v0"
		}
		chain.WriteString("$" + last + "x: $" + next + "x\n")
		bomb.WriteString("$" + next + ": [$" + last + ", $" + last + "]\n")
	}
	for name, test := range map[string]struct{ file, want string }{
		"depth":      {"a: " + strings.Repeat("[", 100_000), "deeper than 32"},
		"blocks":     {strings.Repeat("a {\n", 100_000), "deeper than 32"},
		"section":    {"[" + strings.Repeat("a.", 100) + "a]", "deeper than 32"},
		"references": {chain.String(), "more than 64 references"},
		"growth":     {bomb.String(), "grows beyond"},
		"text":       {"$a: \"" + strings.Repeat("x", 500_000) + "\"\nb: \"${$a}${$a}${$a}\"", "longer than"},
		"size":       {"#" + strings.Repeat(" ", math.MaxUint16*17), "larger than 1MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := load(t, test.file); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Error(messages(t, err))
			}
		})
	}
}

func TestMistakesInTheProgramPanic(t *testing.T) {
	t.Parallel()
	type loop struct {
		Loops []struct{ Map map[string]func() }
	}
	type twice struct {
		Name  string
		Other string `config:"name"`
	}
	for name, into := range map[string]any{
		"no pointer": settings{},
		"nil":        nil,
		"a channel":  &struct{ C chan int }{},
		"a function": &loop{},
		"two fields": &twice{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = config.Load(into, config.Sources{})
		})
	}
}

func TestEmbeddedStructsAndKeysOfFields(t *testing.T) {
	t.Parallel()
	type Base struct{ HTTPPort, V2Limit int }
	var s struct {
		Base
		Own Base `config:"tagged"`
	}
	dir := folderOf(t, map[string]string{"a.tsk": "http_port: 1\nv2_limit: 2\n[tagged]\nhttp_port: 3"})
	if _, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "a.tsk")}); err != nil {
		t.Fatal(err)
	}
	if s.HTTPPort != 1 || s.V2Limit != 2 || s.Own.HTTPPort != 3 {
		t.Errorf("%+v", s)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	env := func(value string) func(string) string {
		return func(name string) string { return map[string]string{"SLUICE_CONFIG": value}[name] }
	}
	check := func(flag, environment, want string) {
		t.Helper()
		if got, err := config.Find(flag, env(environment)); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	check("a", "b", "a")
	check("", "b", "b")
	check("", "", "")
	here := folderOf(t, map[string]string{"sluice.tsk": ""})
	t.Chdir(here)
	check("", "", "sluice.tsk")
}
