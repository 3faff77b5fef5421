package order

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
)

func TestPendingTimeout(t *testing.T) {
	t.Parallel()
	read := func(value string) (time.Duration, error) {
		return pendingTimeout(app.Env{Getenv: func(key string) string {
			return map[string]string{"SLUICE_ORDER_PENDING_TIMEOUT": value}[key]
		}})
	}
	for value, want := range map[string]time.Duration{"": 0, "1s": time.Second, "30m": 30 * time.Minute, "8760h": 8760 * time.Hour} {
		if got, err := read(value); err != nil || got != want {
			t.Errorf("%q is %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"0", "999ms", "-30m", "30", "soon", "8761h", "9999999h", " 30m"} {
		if got, err := read(value); err == nil || got != 0 || !strings.Contains(err.Error(), value) {
			t.Errorf("%q is %s, %v", value, got, err)
		}
	}
}
