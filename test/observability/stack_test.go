package observability_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// stack is what compose.yaml says of each container, as far as it is about telemetry.
type stack struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Command     []string          `yaml:"command"`
		Profiles    []string          `yaml:"profiles"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
	} `yaml:"services"`
}

// TestStack: in the stack everybody is scraped where they listen, what is mounted is there
// and found, and nothing leaves a process unless somebody asks for it.
func TestStack(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all stack
	if err := yaml.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	watcher := all.Services["lgtm"]
	if !slices.Equal(watcher.Profiles, []string{"observability"}) {
		t.Errorf("the profiles of lgtm are %v", watcher.Profiles)
	}
	mounted := make(map[string]string) // by where it is in the container
	for _, v := range watcher.Volumes {
		from, rest, _ := strings.Cut(v, ":")
		to, mode, _ := strings.Cut(rest, ":")
		if _, err := os.Stat(filepath.Join("../..", from)); err != nil || mode != "ro" {
			t.Errorf("%s is mounted %s: %v", from, mode, err)
		}
		mounted[to] = filepath.Base(from)
	}

	var prometheus struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrapes   []struct {
			Job  string `yaml:"job_name"`
			Find []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	unmarshal(t, "prometheus.yaml", &prometheus)
	if mounted["/otel-lgtm/prometheus.yaml"] != "prometheus.yaml" || len(prometheus.RuleFiles) != 1 || mounted[prometheus.RuleFiles[0]] != "rules.yaml" {
		t.Errorf("Prometheus reads %v, and mounted are %v", prometheus.RuleFiles, mounted)
	}
	if len(prometheus.Scrapes) != 1 || prometheus.Scrapes[0].Job != "sluice" || prometheus.Scrapes[0].Find[0].Port != 9090 {
		t.Fatalf("Prometheus scrapes %+v", prometheus.Scrapes)
	}
	var provision struct {
		Providers []struct {
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	unmarshal(t, "dashboards.yaml", &provision)
	if path := provision.Providers[0].Options.Path + "/dashboard.json"; mounted[path] != "dashboard.json" ||
		watcher.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] != path {
		t.Errorf("Grafana looks for %s, and mounted are %v", path, mounted)
	}

	scraped := prometheus.Scrapes[0].Find[0].Names
	for name, s := range all.Services {
		serves := slices.Contains(s.Command, "--ops")
		if serves != slices.Contains(scraped, name) {
			t.Errorf("%s serves metrics: %v, and Prometheus asks %v", name, serves, scraped)
		}
		if !serves {
			continue
		}
		if at := s.Command[slices.Index(s.Command, "--ops")+1]; at != "0.0.0.0:9090" {
			t.Errorf("%s serves metrics on %s", name, at)
		}
		if to := s.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"]; to != "${OTEL_EXPORTER_OTLP_ENDPOINT:-}" {
			t.Errorf("%s exports to %q", name, to)
		}
	}
	if len(scraped) < 6 {
		t.Errorf("Prometheus asks %v", scraped)
	}
}

func unmarshal(t *testing.T, name string, v any) {
	t.Helper()
	content, err := os.ReadFile(folder + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
