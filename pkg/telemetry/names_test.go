package telemetry_test

import (
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
	"sluice/pkg/telemetry/telemetrytest"
)

func contains(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// elsewhere are the metrics of what the flow does not do. The whole program does all of it:
// see test/observability.
var elsewhere = []string{"http.", "rpc.", "sluice.http.", "sluice.endpoint.", "sluice.call.", "sluice.breaker.", "sluice.registry."}

func isElsewhere(metric string) bool {
	return slices.ContainsFunc(elsewhere, func(prefix string) bool { return strings.HasPrefix(metric, prefix) })
}

// TestFlow: what services do is measured under the documented names, for OTLP and for
// Prometheus, and its trace goes from the request to the last reaction.
func TestFlow(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	for _, config := range []jetstream.StreamConfig{
		eventstore.HistoryConfig(things), projection.BucketConfig(names),
		{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}, MaxMsgs: 1000},
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
	c := telemetrytest.New()
	p := launch(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.OverHTTP(t))
	done := p.do(t, "flow", srv.URL())
	if done.Error != "" {
		t.Fatal(done.Error)
	}
	p.do(t, "stop")
	log := p.end(t)
	got := c.Received()
	checkNames(t, telemetrytest.Documented(t, "doc.go"), got, done.Scrape)
	checkSpans(t, got, done.TraceID)
	if strings.Contains(done.Scrape, personal) || strings.Contains(log, "trouble with telemetry") {
		t.Errorf("the log has %s", log)
	}
}

// checkNames compares what is documented with what was exported and scraped.
func checkNames(t *testing.T, units map[string]telemetrytest.Documentation, c telemetrytest.Received, scrape string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape))
	if err != nil {
		t.Fatalf("%v in\n%s", err, scrape)
	}
	if len(units) < 20 {
		t.Fatalf("the documentation has only %v", units)
	}
	for name, documented := range units {
		unit := documented.Unit
		if strings.HasPrefix(name, "sluice.projection.rebuild.") || isElsewhere(name) {
			continue // the former is told during a rebuild only
		}
		if got, ok := c.Metrics[name]; !ok || got.Unit != unit {
			t.Errorf("%s in %s is documented; exported are %q, %v", name, unit, got.Unit, c.MetricNames())
		}
		found := slices.ContainsFunc(slices.Collect(maps.Values(families)), func(f *dto.MetricFamily) bool {
			return f.GetName() == telemetrytest.PrometheusName(name, unit, f.GetType())
		})
		if !found {
			t.Errorf("%s in %s is documented; scraped are %v", name, unit, slices.Sorted(maps.Keys(families)))
		}
	}
	for name := range c.Metrics {
		if _, ok := units[name]; !ok && telemetrytest.IsOurs(name) {
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
func checkSpans(t *testing.T, c telemetrytest.Received, trace string) {
	t.Helper()
	in := func(name string) []telemetrytest.Span {
		return slices.DeleteFunc(c.Named(name), func(s telemetrytest.Span) bool { return s.TraceID != trace })
	}
	requests, sends, processed, reacted := in("request"), in("send thing.made"), in("process thing.made"), in("send thing.named")
	if len(requests) != 1 || len(sends) != 1 || len(processed) != 2 || len(reacted) != 1 {
		t.Fatalf("the trace has %d requests, %d appends, %d attempts and %d reactions", len(requests), len(sends), len(processed), len(reacted))
	}
	send, failed, again := sends[0], processed[0], processed[1]
	if failed.Attributes["error.type"] == "" {
		failed, again = again, failed
	}
	if send.Parent != requests[0].ID || failed.Parent != send.ID || again.Parent != send.ID || reacted[0].Parent != again.ID {
		t.Errorf("not below one another: %+v %+v %+v %+v %+v", requests[0], send, failed, again, reacted[0])
	}
	if !slices.Equal(again.Links, []string{send.ID}) {
		t.Errorf("the attempt is linked to %v, not to %s", again.Links, send.ID)
	}
	for _, s := range []struct {
		span telemetrytest.Span
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
			if s.span.Attributes[key] != value {
				t.Errorf("%s has %s %q, want %q", s.span.Name, key, s.span.Attributes[key], value)
			}
		}
		if s.span.Kind != s.kind || len(s.span.Attributes["messaging.message.id"]) != 36 {
			t.Errorf("%s is %s, %v", s.span.Name, s.span.Kind, s.span.Attributes)
		}
	}
	if send.Resource["service.name"] != "order" || again.Resource["service.name"] != "user" {
		t.Errorf("the append is of %v, the attempt of %v", send.Resource, again.Resource)
	}
	committed := c.Named("commit " + names)
	if len(committed) == 0 || len(committed[0].Links) == 0 || committed[0].Attributes["sluice.projection.name"] != names {
		t.Errorf("steps of the read model are %+v", committed)
	}
	buried := slices.DeleteFunc(c.Named("settle namer"), func(s telemetrytest.Span) bool {
		return s.Attributes["sluice.deadletter.reason"] != string(bus.ReasonDropped)
	})
	if len(buried) != 1 || buried[0].Parent == "" {
		t.Errorf("dead letters are %+v", buried)
	}
	for _, s := range c.Spans {
		if text := s.Name + strings.Join(slices.Collect(maps.Values(s.Attributes)), " ") + s.Status; strings.Contains(text, personal) {
			t.Errorf("a span gives away %s", text)
		}
	}
}
