package telemetry_test

import (
	"net"
	"strings"
	"testing"

	"sluice/pkg/telemetry/telemetrytest"
)

// soon are settings with which things leave the process as soon as they are there.
var soon = []string{"OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BLRP_SCHEDULE_DELAY=10", "OTEL_METRIC_EXPORT_INTERVAL=20"}

// TestSignalsArrive: traces, metrics and logs of one request come to the collector,
// and say which service they are of.
func TestSignalsArrive(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := telemetrytest.New()
			endpoint := c.OverHTTP
			if protocol == "grpc" {
				endpoint = c.OverGRPC
			}
			p := launch(t, append(soon, "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint(t), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
				"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")...)
			done := p.do(t, "work")
			if !done.Sampled {
				t.Error("the request is not sampled")
			}
			await(t, "all three signals", c.Changed, c.Has(func(got telemetrytest.Received) bool {
				return len(got.Named("ask")) == 1 && len(got.Named("answer")) == 100 && len(got.Logs) > 0 && got.Metrics["test.work"].Unit != ""
			}))
			if log := p.end(t); !strings.Contains(log, `"trace_id":"`+done.TraceID+`","correlation_id":"story"`) {
				t.Errorf("stderr has %s", log)
			}
			got := c.Received()
			ask, answer := got.Named("ask")[0], got.Named("answer")[0]
			if ask.TraceID != done.TraceID || answer.TraceID != done.TraceID || answer.Parent != ask.ID {
				t.Errorf("trace %s has %+v and %+v", done.TraceID, ask, answer)
			}
			for _, s := range []struct {
				resource map[string]string
				name     string
			}{{ask.Resource, "order"}, {answer.Resource, "user"}, {got.Metrics["test.work"].Resource, "sluice"}, {got.Logs[0].Resource, "sluice"}} {
				if s.resource["service.name"] != s.name || s.resource["service.version"] != "1.2.3" || s.resource["service.instance.id"] != ask.Resource["service.instance.id"] ||
					s.resource["deployment.environment.name"] != "test" || s.resource["host.name"] == "" {
					t.Errorf("the resource of %s is %v", s.name, s.resource)
				}
				if s.resource["process.command_args"] != "" || s.resource["process.owner"] != "" {
					t.Errorf("%s gives away %v", s.name, s.resource)
				}
			}
			if ask.Resource["service.namespace"] != "sluice" {
				t.Errorf("the resource is %v", ask.Resource)
			}
			l := got.Logs[0]
			if l.Body != "worked" || l.Severity != "INFO" || l.TraceID != done.TraceID || l.Attributes["correlation_id"] != "story" || l.Attributes["service"] != "order" || l.Attributes["trace_id"] != "" {
				t.Errorf("the record is %+v", l)
			}
			if got.Metrics["go.goroutine.count"].Unit != "{goroutine}" {
				t.Errorf("metrics are %v", got.MetricNames())
			}
		})
	}
}

// TestShutdownExportsTheRest: nothing that was done is lost by an orderly end.
func TestShutdownExportsTheRest(t *testing.T) {
	t.Parallel()
	c := telemetrytest.New()
	p := launch(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.OverHTTP(t), "OTEL_SERVICE_NAME=shop")
	p.do(t, "work")
	if done := p.do(t, "stop"); done.Shutdown != "" {
		t.Error(done.Shutdown)
	}
	got := c.Received()
	if len(got.Named("answer")) != 100 || len(got.Logs) != 1 || got.Metrics["test.work"].Unit != "{piece}" {
		t.Fatalf("there are %d spans, %d records and %v", len(got.Spans), len(got.Logs), got.MetricNames())
	}
	for _, s := range got.Spans {
		if s.Resource["service.name"] != "shop" || s.Resource["sluice.service"] == "" {
			t.Errorf("%s is of %v", s.Name, s.Resource)
		}
	}
}

const (
	sampledParent   = "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampledParent = "traceparent:00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// TestSampling: what is not sampled has ids all the same, and the parent decides.
func TestSampling(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name     string
		settings []string
		command  []string
		sampled  bool
	}{
		{"by default", nil, []string{"work"}, true},
		{"off", []string{"OTEL_TRACES_SAMPLER=parentbased_always_off"}, []string{"work"}, false},
		{"ratio of nothing", []string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, []string{"work"}, false},
		{"sampled parent", []string{"OTEL_TRACES_SAMPLER=parentbased_always_off"}, []string{"work", sampledParent}, true},
		{"unsampled parent", nil, []string{"work", unsampledParent}, false},
		{"traces kept in", []string{"OTEL_TRACES_EXPORTER=none"}, []string{"work", sampledParent}, false},
		{"switched off", []string{"OTEL_SDK_DISABLED=true"}, []string{"work"}, false},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := telemetrytest.New()
			p := launch(t, append(s.settings, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.OverHTTP(t))...)
			done := p.do(t, s.command...)
			if done.Sampled != s.sampled || len(done.TraceID) != 32 {
				t.Errorf("sampled is %t, the trace %q", done.Sampled, done.TraceID)
			}
			if len(s.command) > 1 && !strings.Contains(s.command[1], done.TraceID) {
				t.Errorf("%s went on as %s", s.command[1], done.TraceID)
			}
			p.do(t, "stop")
			if log := p.end(t); !strings.Contains(log, done.TraceID) {
				t.Errorf("the log has %s", log)
			}
			got := c.Received()
			if len(got.Spans) > 0 != s.sampled {
				t.Errorf("%d spans arrived", len(got.Spans))
			}
			if off := s.name == "switched off"; off && len(got.Metrics)+len(got.Logs) > 0 {
				t.Errorf("%d metrics and %d records arrived", len(got.Metrics), len(got.Logs))
			}
		})
	}
}

// TestNothingLeavesUnasked: settings that say nothing of where to export nothing.
func TestNothingLeavesUnasked(t *testing.T) {
	t.Parallel()
	p := launch(t, "OTEL_SERVICE_NAME=shop", "OTEL_TRACES_SAMPLER=always_on", "OTEL_BSP_SCHEDULE_DELAY=10")
	done := p.do(t, "work")
	if done.Sampled || len(done.TraceID) != 32 {
		t.Errorf("sampled is %t, the trace %q", done.Sampled, done.TraceID)
	}
	p.do(t, "stop")
	if log := p.end(t); strings.Count(log, "\n") != 1 {
		t.Errorf("the log has %s", log)
	}
}

// TestUnknownSettings are told, and keep no program from running.
func TestUnknownSettings(t *testing.T) {
	t.Parallel()
	p := launch(t, "OTEL_TRACES_EXPORTER=pigeon", "OTEL_METRICS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=smoke",
		"OTEL_LOGS_EXPORTER=none", "OTEL_PROPAGATORS=b3,tracecontext")
	if done := p.do(t, "work"); done.Sampled || done.TraceID == "" {
		t.Errorf("%+v", done)
	}
	log := p.end(t)
	for _, part := range []string{`"signal":"traces"`, `"signal":"metrics"`, `"names":"b3"`} {
		if strings.Count(log, part) != 1 {
			t.Errorf("%s is not once in %s", part, log)
		}
	}
}

// TestOutage: a collector that refuses is told once for each signal, and once again
// when it takes what comes.
func TestOutage(t *testing.T) {
	t.Parallel()
	c := telemetrytest.New()
	c.Refuse(true)
	p := launch(t, append(soon, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.OverHTTP(t))...)
	told := func(line string, times int) func() bool {
		return func() bool { return strings.Count(p.log.text(), `"`+line+`"`) == times }
	}
	for range 20 {
		if done := p.do(t, "work"); done.Seconds > blocked {
			t.Errorf("work takes %g s", done.Seconds)
		}
	}
	await(t, "three lines about the outage", p.log.next, told("telemetry is not exported", 3))
	c.Refuse(false)
	p.do(t, "work")
	await(t, "three lines about its end", p.log.next, told("telemetry is exported again", 3))
	await(t, "a span after it", c.Changed, c.Has(func(got telemetrytest.Received) bool { return len(got.Spans) > 0 }))
	if log := p.end(t); strings.Count(log, `"telemetry is not exported"`) != 3 {
		t.Errorf("the log has %s", log)
	}
}

// blocked is what work does not take that waits for nobody. Exporting to a collector
// that is silent takes ten seconds and more.
const blocked = 5

// TestSilence: nobody waits for a collector that takes connections and answers nothing,
// not even the end.
func TestSilence(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	p := launch(t, append(soon, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+listener.Addr().String())...)
	for range 50 { // 5,000 spans, more than fit into the queue
		if done := p.do(t, "work"); done.Seconds > blocked || !done.Sampled {
			t.Errorf("work: %+v", done)
		}
	}
	if done := p.do(t, "stop"); done.Seconds > blocked {
		t.Errorf("the end took %g s", done.Seconds)
	}
}

// TestNobodyListens: a collector that is not there is told once for each signal.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	gone, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	p := launch(t, append(soon, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+gone.Addr().String(), "OTEL_BSP_EXPORT_TIMEOUT=50",
		"OTEL_BLRP_EXPORT_TIMEOUT=50", "OTEL_METRIC_EXPORT_TIMEOUT=50")...)
	for range 50 {
		if done := p.do(t, "work"); done.Seconds > blocked || !done.Sampled {
			t.Errorf("work: %+v", done)
		}
	}
	told := func() bool { return strings.Count(p.log.text(), `"telemetry is not exported"`) >= 3 }
	await(t, "a line for each signal", p.log.next, told)
	p.do(t, "stop")
	if log := p.end(t); strings.Count(log, `"telemetry is not exported"`) != 3 {
		t.Errorf("the log has %s", log)
	}
}

// TestBaggage goes on where it is asked for, and not when there is much of it.
func TestBaggage(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat("k%=1,", 17), ",")
	for i := range 17 {
		many = strings.Replace(many, "%", string(rune('a'+i)), 1)
	}
	for _, c := range []struct{ name, asked, came, goes string }{
		{"by default", "", "baggage:tenant=7", ""},
		{"asked for", "tracecontext,baggage", "baggage:tenant=7", "tenant=7"},
		{"too long", "baggage", "baggage:tenant=" + strings.Repeat("7", 2000), ""},
		{"too many", "baggage", "baggage:" + many, ""},
		{"malformed", "baggage", "baggage:tenant;;;===", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, "OTEL_PROPAGATORS="+c.asked)
			if done := p.do(t, "work", c.came); done.Baggage != c.goes {
				t.Errorf("handed on %q, want %q", done.Baggage, c.goes)
			}
		})
	}
}
