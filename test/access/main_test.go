package access_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
)

// collected is what the program has exported: spans, metrics and log lines, as they
// came over the wire. OpenTelemetry's exporters read the environment of the process, so
// all tests share it.
var collected collector

// collector takes in OTLP over HTTP.
type collector struct {
	mu    sync.Mutex
	paths map[string]int
	b     bytes.Buffer
}

func (c *collector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	content, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths[req.URL.Path]++
	c.b.Write(content)
}

// has reports whether something that was exported contains text.
func (c *collector) has(text []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.b.Bytes(), text)
}

func (c *collector) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paths[path]
}

func TestMain(m *testing.M) {
	collected.paths = make(map[string]int)
	server := httptest.NewServer(&collected)
	for name, value := range telemetry(server.URL) {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// telemetry is the environment in which everything is exported to a collector at url.
func telemetry(url string) map[string]string {
	return map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "500",
	}
}
