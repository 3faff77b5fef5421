package order

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

func TestPendingTimeout(t *testing.T) {
	t.Parallel()
	read := func(value string) (time.Duration, error) {
		c := config.Compose(config.Part{Name: "order", Settings: Service.Settings})
		_, err := config.Load(c, config.Sources{Environ: []string{"SLUICE_ORDER_PENDING_TIMEOUT=" + value}})
		return config.PartOf[settings](c, "order").PendingTimeout, err
	}
	for value, want := range map[string]time.Duration{"": 0, "0s": 0, "1s": time.Second, "30m": 30 * time.Minute, "8760h": 8760 * time.Hour} {
		if got, err := read(value); err != nil || got != want {
			t.Errorf("%q is %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"999ms", "-30m", "30", "soon", "8761h", "9999999h", " 30m"} {
		if got, err := read(value); err == nil || got != 0 || !strings.HasPrefix(err.Error(), "environment SLUICE_ORDER_PENDING_TIMEOUT: order.pending_timeout: ") {
			t.Errorf("%q is %s, %v", value, got, err)
		}
	}
}
