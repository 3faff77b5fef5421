package config_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/knadh/koanf/v2"

	"sluice/pkg/config"
)

// content is a koanf provider of bytes.
type content string

func (c content) ReadBytes() ([]byte, error)    { return []byte(c), nil }
func (c content) Read() (map[string]any, error) { return nil, nil }

func TestKoanfReadsAndWritesTheLanguage(t *testing.T) {
	t.Parallel()
	k := koanf.New(".")
	for _, file := range []string{"[http]\naddress: \"a\"\nport: 80\n", "[http]\nport: 81\ntimeout: 5s\nhosts: [\"a\"]"} {
		if err := k.Load(content(file), config.Parser{}); err != nil {
			t.Fatal(err)
		}
	}
	if k.String("http.address") != "a" || k.Int("http.port") != 81 || k.Duration("http.timeout").Seconds() != 5 || k.Strings("http.hosts")[0] != "a" {
		t.Error(k.Sprint())
	}
	b, err := k.Marshal(config.Parser{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parser{}.Unmarshal(b)
	if err != nil || !reflect.DeepEqual(again, k.Raw()) {
		t.Errorf("%v, %v from %s", again, err, b)
	}
}

func TestMarshalReadsTheSame(t *testing.T) {
	t.Parallel()
	want := map[string]any{
		"import": "no import", "": "", "a b": nil, "$x": true, "f": 1e21, "zero": math.Copysign(0, -1), "tiny": 5e-324, "i": int64(math.MinInt64),
		"m": map[string]any{"import": int64(1), "e": map[string]any{}, "l": []any{[]any{}, map[string]any{"k": "\x00\u2028\"$${x}\\"}}},
	}
	b, err := config.Parser{}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Parser{}.Unmarshal(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("want %v\n got %v, %v from\n%s", want, got, err, b)
	}
}

func TestMarshalRefusesWhatHasNoForm(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{"NaN": math.NaN(), "channel": make(chan int), "bytes": "\xff", "inner": []any{map[string]any{"a": math.Inf(1)}}} {
		if b, err := (config.Parser{}).Marshal(map[string]any{name: value}); err == nil {
			t.Errorf("%s is written as %s", name, b)
		}
	}
}

func TestTheParserReachesOutToNothing(t *testing.T) {
	t.Parallel()
	_, err := config.Parser{Name: "x"}.Unmarshal([]byte("import: \"a\"\nb: @file.read(\"/etc/hostname\")\nc: @env(\"PATH\")\npassword: hunter2\nd: 99999999999999999999"))
	const want = `x:1:9: "a" is not possible here: there is no folder to read from
x:2:4: "@file.read(\"/etc/hostname\")" is not possible here: there is no folder to read from
x:3:4: "@env(\"PATH\")" is not set in the environment and has no default
x:4:11: password: is no value; a string needs quotes
x:5:4: is out of range`
	if err == nil || err.Error() != want {
		t.Error(err)
	}
	if _, err := (config.Parser{Name: "x"}).Unmarshal([]byte(strings.Repeat("#", 1<<20+1))); err == nil || err.Error() != "x: is larger than 1MiB" {
		t.Error(err)
	}
}
