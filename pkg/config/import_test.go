package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

// loadFiles reads sluice.tsk of several files over the defaults.
func loadFiles(t *testing.T, files map[string]string) (settings, *config.Loaded, error) {
	t.Helper()
	s := defaults()
	loaded, err := config.Load(&s, config.Sources{Path: filepath.Join(folderOf(t, files), "sluice.tsk")})
	return s, loaded, err
}

func TestTheImportingFileWins(t *testing.T) {
	t.Parallel()
	s, loaded, err := loadFiles(t, map[string]string{
		"sluice.tsk":     "import: [\"base.tsk\", \"parts/smtp.tsk\"]\n$region: \"eu\"\n[http]\ntimeout: 1s\n",
		"base.tsk":       "$region: \"us\"\n[http]\ntimeout: 2s\naddress: \"${$region}:80\"\n[smtp]\nuser: \"base\"\n[labels]\nfrom: \"base\"",
		"parts/smtp.tsk": "import = '../deep.tsk'\n[smtp]\nuser: \"parts\"",
		"deep.tsk":       "[smtp]\nuser: \"deep\"\nfooter: \"deep\"",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTP.Timeout != time.Second || s.HTTP.Address != "eu:80" || s.SMTP.User != "parts" || s.SMTP.Footer != "deep" || s.Labels["from"] != "base" {
		t.Errorf("%+v", s)
	}
	if got := originOf(t, loaded, "http.address"); got != "base.tsk:4:10" {
		t.Error(got)
	}
}

func TestImportsAreConfined(t *testing.T) {
	t.Parallel()
	outside := folderOf(t, map[string]string{"outside.tsk": "[smtp]\nuser: \"outside\""})
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"itself":     {map[string]string{"sluice.tsk": `import: "sluice.tsk"`}, `sluice.tsk:1:9: "sluice.tsk" imports itself`},
		"cycle":      {map[string]string{"sluice.tsk": `import: "b.tsk"`, "b.tsk": `import: "./x/../sluice.tsk"`, "x/y": ""}, `b.tsk:1:9: "./x/../sluice.tsk" imports itself`},
		"missing":    {map[string]string{"sluice.tsk": `import: ["no.tsk", "b.tsk"]`, "b.tsk": "x: 1"}, `b.tsk:1:1: "x" is not a known setting` + "\n" + `sluice.tsk:1:10: "no.tsk" cannot be read: no such file or directory`},
		"parent":     {map[string]string{"sluice.tsk": `import: "../a.tsk"`}, `sluice.tsk:1:9: "../a.tsk" cannot be read: path escapes from parent`},
		"absolute":   {map[string]string{"sluice.tsk": "import: \"" + outside + "/outside.tsk\""}, "is not a file's name relative to this file, with slashes"},
		"folder":     {map[string]string{"sluice.tsk": `import: "a"`, "a/b": ""}, `"a" is not a regular file`},
		"link":       {map[string]string{"sluice.tsk": `import: "link.tsk"`}, `sluice.tsk:1:9: "link.tsk" cannot be read: path escapes from parent`},
		"linked":     {map[string]string{"sluice.tsk": `import: "there/outside.tsk"`}, `sluice.tsk:1:9: "there/outside.tsk" cannot be read: path escapes from parent`},
		"reference":  {map[string]string{"sluice.tsk": `import: "${x}.tsk"`}, "import takes the name of a file in quotes"},
		"empty name": {map[string]string{"sluice.tsk": `import: ""`}, "is not a file's name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folderOf(t, test.files)
			for from, to := range map[string]string{"link.tsk": filepath.Join(outside, "outside.tsk"), "there": outside} {
				if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
					t.Fatal(err)
				}
			}
			s := defaults()
			_, err := config.Load(&s, config.Sources{Path: filepath.Join(dir, "sluice.tsk")})
			if got := messages(t, err); !strings.Contains(got, test.want) || s.SMTP.User != "sluice" {
				t.Errorf("want %s\ngot %s", test.want, got)
			}
		})
	}
}

func TestImportsAreBounded(t *testing.T) {
	t.Parallel()
	deep, wide := map[string]string{"sluice.tsk": `import: "1.tsk"`}, map[string]string{"sluice.tsk": "import: [" + strings.Repeat(`"a.tsk", `, 70) + "]", "a.tsk": ""}
	for i := range 20 {
		deep[fmt.Sprintf("%d.tsk", i)] = fmt.Sprintf(`import: "%d.tsk"`, i+1)
	}
	if _, _, err := loadFiles(t, deep); !strings.Contains(messages(t, err), `8.tsk:1:9: "9.tsk" is imported over more than 8 files`) {
		t.Error(err)
	}
	if _, _, err := loadFiles(t, wide); !strings.Contains(messages(t, err), "one import too many: there may be 64") || strings.Count(err.Error(), "\n") > 0 {
		t.Error(err)
	}
}
