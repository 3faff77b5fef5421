package telemetry_test

import (
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/pkg/bus"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// documented returns the metrics in the package's documentation: units by name.
func documented(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	units := make(map[string]string)
	for line := range strings.Lines(file.Doc.Text()) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(line, "\t") || !isOurs(fields[0]) {
			continue
		}
		units[fields[0]] = fields[1]
	}
	return units
}

func isOurs(metric string) bool {
	return strings.HasPrefix(metric, "sluice.") || strings.HasPrefix(metric, "messaging.")
}

func contains(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// prometheusName returns what Prometheus calls a metric, as far as the documentation
// says how.
func prometheusName(name, unit string, kind dto.MetricType) string {
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

// TestFlow: what services do is measured under the documented names, for OTLP and for
// Prometheus, and its trace goes from the request to the last reaction.
func TestFlow(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	for _, config := range []jetstream.StreamConfig{
		eventstore.HistoryConfig(things), projection.BucketConfig(names),
		{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}},
	} {
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: snapshots}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), things.Name, jetstream.ConsumerConfig{
		Durable: namers.Name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Second, MaxAckPending: 100, FilterSubject: "thing.made.*",
	}); err != nil {
		t.Fatal(err)
	}
	c := newCollector()
	p := launch(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.overHTTP(t))
	done := p.do(t, "flow", srv.URL())
	if done.Error != "" {
		t.Fatal(done.Error)
	}
	p.do(t, "stop")
	log := p.end(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	checkNames(t, documented(t), c, done.Scrape)
	checkSpans(t, c, done.TraceID)
	if strings.Contains(done.Scrape, personal) || strings.Contains(log, "trouble with telemetry") {
		t.Errorf("the log has %s", log)
	}
}

// checkNames compares what is documented with what was exported and scraped.
func checkNames(t *testing.T, units map[string]string, c *collector, scrape string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape))
	if err != nil {
		t.Fatalf("%v in\n%s", err, scrape)
	}
	if len(units) < 20 {
		t.Fatalf("the documentation has only %v", units)
	}
	for name, unit := range units {
		if strings.HasPrefix(name, "sluice.projection.rebuild.") {
			continue // is told during a rebuild only
		}
		if got, ok := c.metrics[name]; !ok || got.unit != unit {
			t.Errorf("%s in %s is documented; exported are %q, %v", name, unit, got.unit, c.metricNames())
		}
		found := slices.ContainsFunc(slices.Collect(maps.Values(families)), func(f *dto.MetricFamily) bool {
			return f.GetName() == prometheusName(name, unit, f.GetType())
		})
		if !found {
			t.Errorf("%s in %s is documented; scraped are %v", name, unit, slices.Sorted(maps.Keys(families)))
		}
	}
	for name := range c.metrics {
		if _, ok := units[name]; !ok && isOurs(name) {
			t.Errorf("%s is not documented", name)
		}
	}
	if _, ok := families["go_memory_used_bytes"]; !ok {
		t.Error("nothing is scraped of the Go runtime")
	}
	for _, id := range []string{"bad", "good"} {
		if strings.Contains(scrape, `"`+id+`"`) {
			t.Errorf("an id is an attribute in\n%s", scrape)
		}
	}
}

// checkSpans follows a request from where it began to what it led to.
func checkSpans(t *testing.T, c *collector, trace string) {
	t.Helper()
	in := func(name string) []span {
		return slices.DeleteFunc(c.named(name), func(s span) bool { return s.traceID != trace })
	}
	requests, sends, processed, reacted := in("request"), in("send thing.made"), in("process thing.made"), in("send thing.named")
	if len(requests) != 1 || len(sends) != 1 || len(processed) != 2 || len(reacted) != 1 {
		t.Fatalf("the trace has %d requests, %d appends, %d attempts and %d reactions", len(requests), len(sends), len(processed), len(reacted))
	}
	send, failed, again := sends[0], processed[0], processed[1]
	if failed.attributes["error.type"] == "" {
		failed, again = again, failed
	}
	if send.parent != requests[0].id || failed.parent != send.id || again.parent != send.id || reacted[0].parent != again.id {
		t.Errorf("not below one another: %+v %+v %+v %+v %+v", requests[0], send, failed, again, reacted[0])
	}
	if !slices.Equal(again.links, []string{send.id}) {
		t.Errorf("the attempt is linked to %v, not to %s", again.links, send.id)
	}
	for _, s := range []struct {
		span span
		kind string
		want map[string]string
	}{
		{send, "SPAN_KIND_PRODUCER", map[string]string{
			"messaging.operation.name": "append", "messaging.operation.type": "send", "messaging.destination.template": "thing.made",
		}},
		{failed, "SPAN_KIND_CONSUMER", map[string]string{
			"messaging.operation.name": "process", "messaging.operation.type": "process", "messaging.consumer.group.name": "namer",
			"messaging.destination.template": "thing.made", "error.type": "retry",
		}},
	} {
		s.want["messaging.system"], s.want["messaging.destination.name"] = "nats", things.Name
		for key, value := range s.want {
			if s.span.attributes[key] != value {
				t.Errorf("%s has %s %q, want %q", s.span.name, key, s.span.attributes[key], value)
			}
		}
		if s.span.kind != s.kind || len(s.span.attributes["messaging.message.id"]) != 36 {
			t.Errorf("%s is %s, %v", s.span.name, s.span.kind, s.span.attributes)
		}
	}
	if send.resource["service.name"] != "order" || again.resource["service.name"] != "user" {
		t.Errorf("the append is of %v, the attempt of %v", send.resource, again.resource)
	}
	buried := slices.DeleteFunc(c.named("settle namer"), func(s span) bool { return s.attributes["sluice.deadletter.reason"] != string(bus.ReasonDropped) })
	if len(buried) != 1 || buried[0].parent == "" {
		t.Errorf("dead letters are %+v", buried)
	}
	for _, s := range c.spans {
		if text := s.name + strings.Join(slices.Collect(maps.Values(s.attributes)), " ") + s.status; strings.Contains(text, personal) {
			t.Errorf("a span gives away %s", text)
		}
	}
}
