package telemetrytest

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// Documentation is what is said of a metric.
type Documentation struct {
	Unit, Description string
}

// Documented returns the metrics in the documentation of package telemetry, by name.
// file is its doc.go.
func Documented(t testing.TB, file string) map[string]Documentation {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]Documentation)
	for line := range strings.Lines(parsed.Doc.Text()) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(line, "\t") || !IsOurs(fields[0]) {
			continue
		}
		all[fields[0]] = Documentation{Unit: fields[1], Description: strings.Join(fields[2:], " ")}
	}
	return all
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
