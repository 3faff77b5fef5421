package config_test

import (
	"errors"
	"path/filepath"
	"testing"

	"sluice/pkg/config"
)

func TestStrings(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"a: \"\"\"\r\nx\r\n  y\"\"\"\r\n":          "x\n  y",
		"a: \"\"\"x \"quoted\" \\\"\"\" end\"\"\"": `x "quoted" """ end`,
		`a: """"""`:                   "",
		`a: 'it\n'`:                   `it\n`,
		`a: "\u00e9\t\$x $ $5 \${x}"`: "é\t$x $ $5 ${x}",
		"a: \"${b.c}\"\n[b]\nc: 1.50": "1.50",
		"a: \"${$x}\"\n$x: 5s":        "5s",
		"a: ${b}\nb: ${c}\nc: \"x${$y}\"\n$y: @env(\"REGION\")": "xeu-1",
		"a: \"x\" // y":  "x",
		"a: \"x\"# y":    "x",
		"a: \"//#\" # y": "//#",
		"\"a\" = \"x\";": "x",
	} {
		values, err := config.Parser{Lookup: region}.Unmarshal([]byte(file))
		if err != nil || values["a"] != want {
			t.Errorf("%q is %q, %v", file, values["a"], err)
		}
	}
}

func TestReferencesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"$name: 1\na: \"${name}\"":         `x:2:5: "${name}" is undefined: the variable is ${$name}`,
		"[a]\nb: 1\n[c]\nd: ${b}":          `x:4:4: "${b}" is undefined`,
		"a: 1\nb: ${a.x}":                  `x:2:4: "${a.x}" is undefined: a is a number`,
		"a: $b\n$b: [x]":                   "x:2:6: $b: is no value; a string needs quotes", // and a says no more
		"a: \"${l} ${n}\"\nl: []\nn: null": "x:1:5: \"${l}\" is a list and cannot be part of a string\nx:1:10: \"${n}\" is null and cannot be part of a string",
		"$a: \"$\"\n$b: ${$b}":             `x:2:5: "${$b}" refers to itself: $b → $b`,
	} {
		_, err := config.Parser{Name: "x"}.Unmarshal([]byte(file))
		if err == nil || err.Error() != want {
			t.Errorf("%q: want %s\ngot %v", file, want, err)
		}
	}
}

func TestAFolderOfSecretsThatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"sluice.tsk": ""})
	s := defaults()
	_, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "sluice.tsk"), Secrets: filepath.Join(dir, "none")})
	if got := messages(t, err); got != "none: cannot be read: no such file or directory\n" {
		t.Error(got)
	}
}

// full takes nothing.
type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	_, loaded := mustLoad(t, "")
	if err := loaded.Print(full{}); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if err := config.Reference(full{}, defaults()); !errors.Is(err, errFull) {
		t.Error(err)
	}
}
