package telemetrytest

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// Documented returns the metrics in the documentation of package telemetry, units by name.
// file is its doc.go.
func Documented(t testing.TB, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	units := make(map[string]string)
	for line := range strings.Lines(parsed.Doc.Text()) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(line, "\t") || !IsOurs(fields[0]) {
			continue
		}
		units[fields[0]] = fields[1]
	}
	return units
}

// IsOurs tells the metrics of Sluice from those of the Go runtime.
func IsOurs(metric string) bool {
	first, _, _ := strings.Cut(metric, ".")
	switch first {
	case "sluice", "messaging", "rpc", "http":
		return true
	default:
		return false
	}
}

// PrometheusName returns what Prometheus calls a metric of ours.
func PrometheusName(name, unit string, kind dto.MetricType) string {
	name = strings.ReplaceAll(name, ".", "_")
	switch unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	case "1":
		name += "_ratio"
	case "{event}/s":
		name += "_per_second"
	}
	if kind == dto.MetricType_COUNTER {
		name += "_total"
	}
	return name
}
