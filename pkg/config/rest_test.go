package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

// byTarget has settings of a target and, under their names, those of its endpoints.
type byTarget struct {
	Targets map[string]target `doc:"By target."`
}

type target struct {
	Timeout   time.Duration `doc:"Of a call."`
	Retry     struct{ Attempts int }
	Endpoints map[string]oneEndpoint `config:"*" doc:"By endpoint." secret:"true"`
}

type oneEndpoint struct {
	Timeout time.Duration `doc:"Of a call to it."`
}

func loadTargets(t *testing.T, content string, environ ...string) (byTarget, *config.Loaded, error) {
	t.Helper()
	dir := folderOf(t, map[string]string{"sluice.tsk": content})
	s := byTarget{Targets: map[string]target{"user": {Timeout: time.Second, Endpoints: map[string]oneEndpoint{"list": {Timeout: 3 * time.Second}}}}}
	loaded, err := config.Load(&s, config.Sources{Path: dir + "/sluice.tsk", Environ: environ})
	return s, loaded, err
}

func TestTheRestTakesWhatNoFieldNames(t *testing.T) {
	t.Parallel()
	got, loaded, err := loadTargets(t, "[targets.user]\nretry { attempts: 2 }\n[targets.user.get]\ntimeout: 2s\n[targets.order.list]\ntimeout: 4s\n",
		"SLUICE_TARGETS_USER_GET_TIMEOUT=5s", "SLUICE_TARGETS_USER_LIST_TIMEOUT=6s", "SLUICE_TARGETS_USER_TIMEOUT=7s")
	if err != nil {
		t.Fatal(err)
	}
	want := byTarget{Targets: map[string]target{
		"user":  {Timeout: 7 * time.Second, Endpoints: map[string]oneEndpoint{"get": {5 * time.Second}, "list": {6 * time.Second}}},
		"order": {Endpoints: map[string]oneEndpoint{"list": {4 * time.Second}}},
	}}
	user := want.Targets["user"]
	user.Retry.Attempts = 2
	want.Targets["user"] = user
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for path, origin := range map[string]string{
		"targets.user.get.timeout": "environment SLUICE_TARGETS_USER_GET_TIMEOUT", "targets.user.retry.attempts": "sluice.tsk:2:19",
		"targets.order.list.timeout": "sluice.tsk:6:10", "targets.order.timeout": "default",
	} {
		if got := originOf(t, loaded, path); got != origin {
			t.Errorf("%s comes from %s, want %s", path, got, origin)
		}
	}
	for _, s := range loaded.Settings() {
		if of := strings.Count(s.Path, ".") == 3 && !strings.Contains(s.Path, "retry"); s.Secret != of || of && s.Doc != "Of a call to it." {
			t.Errorf("%s: %+v", s.Path, s)
		}
	}
}

func TestTheRestTakesBlocksOnly(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"[targets.user]\ntimeot: 2s":                  `sluice.tsk:2:1: targets.user: "timeot" is not a known setting; did you mean timeout?`,
		"[targets.user.get]\ntimeot: 2s":              `sluice.tsk:2:1: targets.user.get: "timeot" is not a known setting; did you mean timeout?`,
		"[targets.user]\nretry: 2":                    `targets.user.retry: "2" is a number; wanted: a block`,
		"[targets.user.get]\ntimeout { }":             `targets.user.get.timeout: `,
		"[targets.user]\nget { retry { attempts: 1}}": `targets.user.get: "retry" is not a known setting`,
	} {
		_, _, err := loadTargets(t, content)
		if got := messages(t, err); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
	}
}

func TestTheRestStandsInTheReference(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := config.Reference(&b, byTarget{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# [targets.NAME]\n", "# [targets.NAME.NAME]\n", "# [targets.NAME.retry]\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in\n%s", want, &b)
		}
	}
}

func TestTheRestIsBlocks(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("text that nobody named was taken")
		}
	}()
	_, _ = config.Load(&struct {
		Others map[string]string `config:"*"`
	}{}, config.Sources{})
}
