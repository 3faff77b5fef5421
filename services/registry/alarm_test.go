package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

// told returns what the history of one alert has, such as "raised, resolved".
func (r *replica) told(t *testing.T, kind registryapi.AlertKind, subject string) string {
	t.Helper()
	events, err := r.checker.alarm.alerts.History(t.Context(), topic{kind, subject}.id())
	if errors.Is(err, aggregate.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	types := make([]string, len(events))
	for n, e := range events {
		types[n] = strings.TrimPrefix(e.Type, "alert.")
	}
	return strings.Join(types, ", ")
}

func (r *replica) awaitTold(t *testing.T, kind registryapi.AlertKind, subject, want string) {
	t.Helper()
	until(t, fmt.Sprintf("%s %s: %s", kind, subject, want), func() bool { return r.told(t, kind, subject) == want })
}

// awaitListed returns the alerts that are raised once there are as many.
func (r *replica) awaitListed(t *testing.T, n int) []registryapi.Alert {
	t.Helper()
	var page registryapi.AlertsResponse
	until(t, fmt.Sprintf("%d are raised", n), func() bool {
		var err error
		if page, err = r.alerts(t.Context(), registryapi.AlertsRequest{}); err != nil {
			t.Fatal(err)
		}
		return len(page.Items) == n
	})
	return page.Items
}

// rounds returns when the replica has looked a few times more: each time it asks for the
// dead letters.
func rounds(t *testing.T, nc *nats.Conn, n int) {
	t.Helper()
	looks, err := nc.SubscribeSync("$JS.API.STREAM.INFO." + bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = looks.Unsubscribe() }()
	for range n {
		if _, err := looks.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
	}
}

// enough is how many rounds take longer than shortAfter, twice.
const enough = int(2*shortAfter/(20*time.Millisecond)) + 2

func bury(t *testing.T, js jetstream.JetStream, consumer string, sequence uint64) string {
	t.Helper()
	l := bus.DeadLetter{
		Consumer: consumer, Reason: bus.ReasonDropped, Error: "no", Stream: "JOBS", Sequence: sequence,
		Subject: "job.done.x", FirstAt: time.Now(), LastAt: time.Now(),
	}
	if err := bus.PublishDeadLetter(t.Context(), js, l); err != nil {
		t.Fatal(err)
	}
	for found, err := range bus.NewLetterbox(js).List(t.Context(), bus.LetterFilter{Consumer: consumer}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		return found.ID
	}
	t.Fatal("the letter is not there")
	return ""
}

func discard(t *testing.T, js jetstream.JetStream, id string) {
	t.Helper()
	if err := bus.NewLetterbox(js).Discard(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// Dead letters are one alert, however many and whoever leads, and one more event when
// they are gone.
func TestDeadLettersAreAnAlert(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	js := srv.JetStream(t)
	first := newReplica(t, srv.Connect(t), shortTerm)
	kind := registryapi.AlertDeadLetters
	letters := []string{bury(t, js, "mailer", 1)}
	first.awaitTold(t, kind, "mailer", "raised")
	letters = append(letters, bury(t, js, "mailer", 2))
	second := newReplica(t, srv.Connect(t), shortTerm)
	rounds(t, srv.Connect(t), enough)
	first.stop()
	rounds(t, srv.Connect(t), enough)
	if got := second.told(t, kind, "mailer"); got != "raised" {
		t.Errorf("after another has taken over: %s", got)
	}
	if a := second.awaitListed(t, 1)[0]; a.Kind != kind || a.Subject != "mailer" || a.Reason != "1 dead letter, more than 0" || a.RaisedAt.Sub(a.Since) < shortAfter || a.Version != 1 {
		t.Errorf("the alert is %+v", a)
	}

	second.stop() // nobody looks meanwhile
	for _, id := range letters {
		discard(t, js, id)
	}
	third := newReplica(t, srv.Connect(t), shortTerm)
	third.awaitTold(t, kind, "mailer", "raised, resolved")
	third.awaitListed(t, 0)
	rounds(t, srv.Connect(t), enough)
	if got := third.told(t, kind, "mailer"); got != "raised, resolved" {
		t.Errorf("in the end: %s", got)
	}
	if got := third.told(t, kind, "packer"); got != "" {
		t.Errorf("another consumer: %s", got)
	}
}

// A consumer with too much to do, or that is stuck with little, is an alert.
func TestLagOfConsumersIsAnAlert(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	js := srv.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"job.>"}}); err != nil {
		t.Fatal(err)
	}
	mailer, err := js.CreateConsumer(t.Context(), "JOBS", jetstream.ConsumerConfig{Durable: "mailer", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, srv.Connect(t), shortTerm)
	publish := func(n int) {
		t.Helper()
		for range n {
			if _, err := js.Publish(t.Context(), "job.done.x", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	handle := func(n int) {
		t.Helper()
		batch, err := mailer.Fetch(n, jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Error(); err != nil {
			t.Fatal(err)
		}
	}
	publish(5)
	rounds(t, srv.Connect(t), enough)
	if got := r.told(t, registryapi.AlertLag, "mailer"); got != "" {
		t.Errorf("as far behind as it may be: %s", got)
	}
	publish(1)
	r.awaitTold(t, registryapi.AlertLag, "mailer", "raised")
	handle(1)
	r.awaitTold(t, registryapi.AlertLag, "mailer", "raised, resolved")
	publish(1)
	r.awaitTold(t, registryapi.AlertLag, "mailer", "raised, resolved, raised")
	if err := js.DeleteConsumer(t.Context(), "JOBS", "mailer"); err != nil {
		t.Fatal(err)
	}
	r.awaitTold(t, registryapi.AlertLag, "mailer", "raised, resolved, raised, resolved")
	if got := r.told(t, registryapi.AlertLag, "packer"); got != "" {
		t.Errorf("a consumer that there is not: %s", got)
	}
}

// How long the first message waits is seen without reading it: it does as long as nothing
// is handled.
func TestConsumersThatAreStuck(t *testing.T) {
	t.Parallel()
	w := consumerWatcher{stuck: make(map[string]stuckAt)}
	for _, c := range []struct {
		name    string
		minute  int
		pending uint64
		unacked int
		floor   uint64
		want    lag
	}{
		{"idle", 0, 0, 0, 7, lag{}},
		{"something comes", 1, 1, 0, 7, lag{1, 0}},
		{"it is in hand", 2, 0, 1, 7, lag{1, time.Minute}},
		{"more comes", 3, 4, 1, 7, lag{5, 2 * time.Minute}},
		{"the first is done", 4, 3, 1, 8, lag{4, 0}},
		{"the next is not", 5, 3, 1, 8, lag{4, time.Minute}},
		{"all is done", 6, 0, 0, 12, lag{}},
		{"something comes again", 7, 1, 0, 12, lag{1, 0}},
	} {
		info := &jetstream.ConsumerInfo{NumPending: c.pending, NumAckPending: c.unacked, AckFloor: jetstream.SequenceInfo{Stream: c.floor}}
		if got := w.lag("mailer", info, at(c.minute)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A service is in trouble as long as one instance is unhealthy; when it is taken out,
// that is over.
func TestUnhealthyServicesAreAnAlert(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r := newReplica(t, srv.Connect(t), shortTerm)
	ill, well := newPatient(t), newPatient(t)
	r.mustRegister(t, ill.request("100ms", 2))
	other := well.request("100ms", 2)
	other.ID = "b"
	r.mustRegister(t, other)
	r.awaitStatus(t, registryapi.StatusHealthy)
	ill.status.Store(http.StatusServiceUnavailable)
	r.awaitTold(t, registryapi.AlertUnhealthy, "pay", "raised")
	if a := r.awaitListed(t, 1)[0]; a.Reason != "1 of 2 instances unhealthy: a" {
		t.Errorf("raised now: %+v", a)
	}
	ill.status.Store(http.StatusOK)
	r.awaitTold(t, registryapi.AlertUnhealthy, "pay", "raised, resolved")
	ill.status.Store(http.StatusServiceUnavailable)
	r.awaitTold(t, registryapi.AlertUnhealthy, "pay", "raised, resolved, raised")
	if _, err := r.deregister(t.Context(), registryapi.DeregisterRequest{Name: "pay"}); err != nil {
		t.Fatal(err)
	}
	r.awaitTold(t, registryapi.AlertUnhealthy, "pay", "raised, resolved, raised, resolved")
}

// Of a status that is too old nobody knows whether it still holds: it is no trouble, nor
// its end.
func TestAnOldStatusIsNoTrouble(t *testing.T) {
	t.Parallel()
	r := newReplica(t, newServer(t).Connect(t), shortTerm)
	r.stop()
	w := serviceWatcher{checks: r.checks}
	i := instance{ID: "a", Status: registryapi.StatusUnhealthy, Check: registryapi.Check{}.Normal(), Registered: at(1)}
	s := service{Name: "pay", Instances: []instance{i}}
	for _, c := range []struct {
		name string
		last time.Time
		want level
	}{
		{"checked a moment ago", time.Now(), over},
		{"checked long ago", time.Now().Add(-time.Hour), unknown},
	} {
		if err := r.checks.put(t.Context(), "pay", "a", checked{Registered: at(1), At: c.last}); err != nil {
			t.Fatal(err)
		}
		if got, err := w.examine(t.Context(), s); err != nil || got.level != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// A service that must run and does not is in trouble until an instance is there.
func TestServicesThatMustRun(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r := newReplica(t, srv.Connect(t), shortTerm)
	w := serviceWatcher{view: r.view, checks: r.checks, expected: []string{"mail", "pay"}}
	levels := func() [2]level {
		t.Helper()
		found := make(map[topic]finding)
		if err := w.look(t.Context(), found); err != nil {
			t.Fatal(err)
		}
		return [2]level{found[topic{w.kind(), "mail"}].level, found[topic{w.kind(), "pay"}].level}
	}
	if got := levels(); got != [2]level{over, over} {
		t.Errorf("without any instance: %v", got)
	}
	newColleague(t, srv, "mail")
	until(t, "it is there", func() bool { return levels() == [2]level{within, over} })
}

// newModelled runs a service that says how its read models stand.
func newModelled(t *testing.T, srv *natstest.Server, name string, answer func() (projection.ListResponse, bool)) {
	t.Helper()
	service, err := micro.AddService(srv.Connect(t), micro.Config{Name: name, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	err = service.AddEndpoint("projection", micro.HandlerFunc(func(r micro.Request) {
		response, ok := answer()
		if !ok {
			_ = r.Error(string(endpoint.CodeUnavailable), "not now", nil)
			return
		}
		body, err := json.Marshal(response)
		if err == nil {
			err = r.Respond(body)
		}
		if err != nil {
			t.Error(err)
		}
	}), micro.WithEndpointSubject("svc."+name+".projection"))
	if err != nil {
		t.Fatal(err)
	}
}

// A read model too far behind is an alert; that its service says nothing for a while is
// none, nor its end.
func TestLagOfReadModelsIsAnAlert(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var behind atomic.Int64 // below 0: it does not say
	newModelled(t, srv, "Shop_2", func() (projection.ListResponse, bool) {
		n := behind.Load()
		return projection.ListResponse{Items: []projection.Report{
			{Name: "carts", Behind: projection.Behind{Events: uint64(max(n, 0)), Seconds: 0.1}},
			{Name: "no name", Behind: projection.Behind{Events: 100}},
			{Name: "wares"},
		}}, n >= 0
	})
	r := newReplica(t, srv.Connect(t), shortTerm)
	kind := registryapi.AlertReadModelLag
	behind.Store(6)
	r.awaitTold(t, kind, "Shop_2/carts", "raised")
	behind.Store(-1)
	rounds(t, srv.Connect(t), enough)
	if got := r.told(t, kind, "Shop_2/carts"); got != "raised" {
		t.Errorf("while the service does not say: %s", got)
	}
	behind.Store(5)
	r.awaitTold(t, kind, "Shop_2/carts", "raised, resolved")
	for _, other := range []string{"Shop_2/wares", "Shop_2/no name"} {
		if got := r.told(t, kind, other); got != "" {
			t.Errorf("%s: %s", other, got)
		}
	}
}

// An outage of NATS raises nothing by itself, and what was raised before it is raised
// after it, once.
func TestAnOutageIsNoAlert(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	r := newReplica(t, srv.Connect(t), shortTerm)
	bury(t, srv.JetStream(t), "mailer", 1)
	r.awaitTold(t, registryapi.AlertDeadLetters, "mailer", "raised")

	a, v, troubled := r.checker.alarm, make(vigil), make(map[registryapi.AlertKind]bool)
	a.watchers = slices.Clone(a.watchers) // the test looks beside the leader
	for n, w := range a.watchers {
		if c, ok := w.(consumerWatcher); ok {
			c.stuck = make(map[string]stuckAt)
			a.watchers[n] = c
		}
	}
	if err := a.round(t.Context(), v, troubled); err != nil || len(v) == 0 {
		t.Fatalf("before the outage it watches %v, %v", v, err)
	}
	srv.Stop()
	until(t, "the connection is lost", func() bool { return !r.nc.IsConnected() })
	s := a.survey(t.Context(), troubled)
	for about, f := range s.found {
		t.Errorf("in the outage %v is %v", about, f)
	}
	for _, w := range a.watchers {
		if got := s.of(topic{w.kind(), "mailer"}); got.level != unknown {
			t.Errorf("in the outage %s is %+v", w.kind(), got)
		}
	}
	srv.Restart(t)
	until(t, "the connection is back", r.nc.IsConnected)
	rounds(t, srv.Connect(t), enough)
	r.awaitListed(t, 1)
	if got := r.told(t, registryapi.AlertDeadLetters, "mailer"); got != "raised" {
		t.Errorf("after the outage: %s", got)
	}
}

// The list begins with what was raised last, and goes on where it was.
func TestAlertsAreListedByPage(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	kv, err := srv.JetStream(t).KeyValue(t.Context(), streams.BucketServiceChecks)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), leaseKey, []byte("another")); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, srv.Connect(t), time.Hour) // which looks at nothing, and so resolves nothing
	for n := range 5 {
		v := alertVerdict{topic: topic{registryapi.AlertDeadLetters, fmt.Sprint(n)}, over: true, reason: "so it is", since: at(0)}
		if err := r.checker.alarm.record(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are there", func() bool {
		got := ""
		for req := (registryapi.AlertsRequest{Limit: 2}); ; {
			page, err := r.alerts(t.Context(), req)
			if err != nil || len(page.Items) > 2 {
				t.Fatalf("a page of %+v, %v", page, err)
			}
			for _, a := range page.Items {
				got += a.Subject
			}
			if req.Cursor = page.Next; req.Cursor == "" {
				return got == "43210"
			}
		}
	})
	if _, err := r.alerts(t.Context(), registryapi.AlertsRequest{Cursor: "~"}); endpoint.CodeOf(err) != endpoint.CodeInvalid {
		t.Errorf("a malformed cursor: %v", err)
	}
}
