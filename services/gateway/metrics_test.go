package gateway_test

import (
	"strings"
	"testing"

	"sluice/services/gateway"
)

func TestMetricsAreForOperators(t *testing.T) {
	t.Parallel()
	w := start(t, gateway.Config{Verify: verify}, echo)
	for authorization, status := range map[string]int{"": 401, "Bearer forged": 401, asCustomer: 403, asOperator: 200, asAdmin: 200} {
		a := w.do(t, "GET", "/metrics", "", "Authorization", authorization)
		if a.status != status || (status == 200) != strings.Contains(a.body, "go_memory_used_bytes") {
			t.Errorf("%q: %d %.200s", authorization, a.status, a.body)
		}
	}
}
