package order

import (
	"log/slog"
	"strings"
	"testing"

	"sluice/pkg/app"
)

func TestUserPoliciesComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	read := func(failures, recovery string) error {
		_, err := userPolicies(app.Env{Log: slog.New(slog.DiscardHandler), Getenv: func(key string) string {
			return map[string]string{"SLUICE_ORDER_USER_FAILURES": failures, "SLUICE_ORDER_USER_RECOVERY": recovery}[key]
		}})
		return err
	}
	for _, good := range [][2]string{{"", ""}, {"1", "1ms"}, {"100", ""}, {"", "24h"}} {
		if err := read(good[0], good[1]); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{"0", "-1", "five", "1000001", " 5"} {
		if err := read(bad, ""); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(bad)) {
			t.Errorf("%q failures lead to %v", bad, err)
		}
	}
	for _, bad := range []string{"0", "-1s", "30", "soon", "25h"} {
		if err := read("", bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("a recovery of %q leads to %v", bad, err)
		}
	}
}
