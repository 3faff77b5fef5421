package registry

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

const shortTerm = 600 * time.Millisecond

// The whole life of an instance: each change of status is one event, and only success
// is a heartbeat.
func TestChecksDecideTheStatus(t *testing.T) {
	t.Parallel()
	r := newReplica(t, newServer(t).Connect(t), shortTerm)
	p := newPatient(t)
	r.mustRegister(t, p.request("100ms", 3))
	r.awaitStatus(t, registryapi.StatusHealthy)

	p.status.Store(http.StatusServiceUnavailable)
	r.awaitStatus(t, registryapi.StatusUnhealthy)
	ill := r.instance(t, "a")
	p.awaitAsked(t, 3)
	if now := r.instance(t, "a"); !now.LastHeartbeat.Equal(ill.LastHeartbeat) || ill.LastHeartbeat.IsZero() {
		t.Errorf("a failed check moved the heartbeat from %s to %s", ill.LastHeartbeat, now.LastHeartbeat)
	}
	p.status.Store(http.StatusNoContent)
	r.awaitStatus(t, registryapi.StatusHealthy)
	until(t, "there is a heartbeat", func() bool { return r.instance(t, "a").LastHeartbeat.After(ill.LastHeartbeat) })

	if got, want := r.types(t, "pay"), []string{"service.registered", "service.healthy", "service.unhealthy", "service.healthy"}; !slices.Equal(got, want) {
		t.Errorf("the events are %v", got)
	}
	if s, err := r.get(t.Context(), registryapi.GetRequest{Name: "pay"}); err != nil || s.Status != registryapi.StatusHealthy || s.Version != "1.0.0" || s.LastHeartbeat.IsZero() {
		t.Errorf("the service is %+v, %v", s, err)
	}
}

// Retries are honoured: so many failures in a row, and not one fewer.
func TestRetriesAreHonoured(t *testing.T) {
	t.Parallel()
	r := newReplica(t, newServer(t).Connect(t), shortTerm)
	p := newPatient(t)
	p.status.Store(http.StatusInternalServerError)
	r.mustRegister(t, p.request("100ms", 4))
	r.awaitStatus(t, registryapi.StatusUnhealthy)
	if asked := p.asked.Load(); asked < 4 {
		t.Errorf("unhealthy after %d failures", asked)
	}
}

// A check that is added later is run, one that is changed runs at once in the new way,
// and one whose instance is gone stops.
func TestChecksChangeWhileTheyRun(t *testing.T) {
	t.Parallel()
	r := newReplica(t, newServer(t).Connect(t), shortTerm)
	p := newPatient(t)
	unchecked := p.request("", 0)
	unchecked.Check = nil
	r.mustRegister(t, unchecked)
	if i := r.instance(t, "a"); i.Status != registryapi.StatusUnknown || i.Check != nil || p.asked.Load() != 0 {
		t.Errorf("without a check it is %+v", i)
	}
	change := func(interval string) {
		t.Helper()
		s, err := r.changeCheck(t.Context(), registryapi.ChangeCheckRequest{Name: "pay", Check: &registryapi.Check{Interval: interval}})
		if err != nil || len(s.Instances) != 1 || s.Instances[0].Check == nil || s.Instances[0].Check.Every() != (registryapi.Check{Interval: interval}).Every() {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	change("1h")
	r.awaitStatus(t, registryapi.StatusHealthy)
	if asked := p.asked.Load(); asked != 1 {
		t.Errorf("it was asked %d times in an hour", asked)
	}
	change("100ms")
	p.awaitAsked(t, 5) // an hour would be too long

	if res, err := r.deregister(t.Context(), registryapi.DeregisterRequest{Name: "pay"}); err != nil || len(res.Instances) != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	until(t, "its record is gone", func() bool {
		last, err := r.checker.checks.get(t.Context(), "pay", "a")
		if err != nil {
			t.Fatal(err)
		}
		return last.At.IsZero()
	})
	asked := p.asked.Load()
	// Another one is asked many times meanwhile.
	q := newPatient(t)
	other := q.request("100ms", 1)
	other.Name = "mail"
	r.mustRegister(t, other)
	q.awaitAsked(t, 5)
	if now := p.asked.Load(); now != asked {
		t.Errorf("it was asked %d times after it had gone", now-asked)
	}
	if _, err := r.get(t.Context(), registryapi.GetRequest{Name: "pay"}); endpoint.CodeOf(err) != endpoint.CodeNotFound {
		t.Errorf("it is still there: %v", err)
	}
}

// Several replicas make one event of each change, also when all of them check, as two
// may for a moment.
func TestReplicasMakeOneEventOfAChange(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	p := newPatient(t)
	var all []*replica
	for range 3 {
		all = append(all, newReplica(t, srv.Connect(t), time.Hour))
	}
	unchecked := p.request("", 0)
	unchecked.Check = nil // or the leader would have its say
	all[0].mustRegister(t, unchecked)
	found, err := all[0].services.Get(t.Context(), "pay")
	if err != nil {
		t.Fatal(err)
	}
	i := found.State.Instances[0]
	for n, status := range []registryapi.Status{"healthy", "unhealthy", "healthy", "unhealthy"} {
		var together sync.WaitGroup
		for _, r := range all {
			m := &monitor{checker: r.checker, name: "pay"}
			m.current.Store(&i)
			before := i
			before.Status = "" // as the others have it that know nothing of each other
			together.Go(func() {
				if err := m.note(t.Context(), before, verdict{status: status, reason: "timed out"}, checked{}); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
		changes := slices.DeleteFunc(all[0].types(t, "pay"), func(s string) bool { return s == "service.registered" })
		if len(changes) != n+1 || changes[n] != "service."+string(status) {
			t.Fatalf("after %d changes: %v", n+1, changes)
		}
	}
}

// One replica checks; when it stops another goes on.
func TestOneReplicaChecks(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	p := newPatient(t)
	first := newReplica(t, srv.Connect(t), shortTerm)
	first.mustRegister(t, p.request("100ms", 1))
	p.awaitAsked(t, 1)
	second := newReplica(t, srv.Connect(t), shortTerm)
	entry, err := first.checker.lease.kv.Get(t.Context(), leaseKey)
	if err != nil || string(entry.Value()) != first.checker.lease.holder {
		t.Fatalf("the first does not lead: %v", err)
	}
	first.stop()
	p.awaitAsked(t, 3)
	entry, err = second.checker.lease.kv.Get(t.Context(), leaseKey)
	if err != nil || string(entry.Value()) != second.checker.lease.holder {
		t.Fatalf("the second does not lead: %v", err)
	}
	second.awaitStatus(t, registryapi.StatusHealthy)
	if got := second.types(t, "pay"); len(got) != 2 {
		t.Errorf("the events are %v", got)
	}
}

// Who takes over goes on counting failures where the other stopped, and does not check
// before it is time.
func TestATakeOverGoesOnCounting(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	p := newPatient(t)
	p.status.Store(http.StatusServiceUnavailable)
	first := newReplica(t, srv.Connect(t), shortTerm)
	first.mustRegister(t, p.request("1s", 3))
	var last checked
	until(t, "a failure is noted", func() bool {
		var err error
		last, err = first.checks.get(t.Context(), "pay", "a")
		return err == nil && last.Failures > 0
	})
	first.stop()
	last, err := first.checks.get(t.Context(), "pay", "a")
	if err != nil || last.Failures >= 3 {
		t.Fatalf("%d failures are noted, %v", last.Failures, err)
	}
	asked := p.asked.Load()
	second := newReplica(t, srv.Connect(t), shortTerm)
	second.awaitStatus(t, registryapi.StatusUnhealthy)
	if more := p.asked.Load() - asked; more != int64(3-last.Failures) {
		t.Errorf("it was asked %d times more after %d failures", more, last.Failures)
	}
	now, err := second.checks.get(t.Context(), "pay", "a")
	if err != nil || now.At.Sub(last.At) < time.Duration(3-last.Failures)*900*time.Millisecond {
		t.Errorf("%d more checks took %s, %v", 3-last.Failures, now.At.Sub(last.At), err)
	}
}

// A check is due within an interval, whatever the clock of the other replica said.
func TestAClockThatIsAheadDelaysNothing(t *testing.T) {
	t.Parallel()
	if d := untilDue(checked{}, time.Hour); d > 0 {
		t.Errorf("the first check is due in %s", d)
	}
	if d := untilDue(checked{At: time.Now().Add(-time.Minute)}, time.Hour); d < 58*time.Minute || d > 59*time.Minute {
		t.Errorf("a minute after the last check the next is due in %s", d)
	}
	if d := untilDue(checked{At: time.Now().Add(24 * time.Hour)}, time.Hour); d != time.Hour {
		t.Errorf("the next check is due in %s", d)
	}
}

// A replica that vanishes without a word is succeeded when its lease has run out.
func TestALeaseRunsOut(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	p := newPatient(t)
	second := newReplica(t, srv.Connect(t), shortTerm)
	second.stop()
	if _, err := second.checker.lease.kv.Put(t.Context(), leaseKey, []byte("somebody who is gone")); err != nil {
		t.Fatal(err)
	}
	third := newReplica(t, srv.Connect(t), shortTerm)
	third.mustRegister(t, p.request("100ms", 1))
	third.awaitStatus(t, registryapi.StatusHealthy)
}

// While the registry has no NATS nothing is unhealthy, and afterwards checks go on.
func TestAnOutageIsNoVerdict(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	p := newPatient(t)
	r := newReplica(t, srv.Connect(t), shortTerm)
	r.mustRegister(t, p.request("100ms", 1))
	r.awaitStatus(t, registryapi.StatusHealthy)
	srv.Stop()
	until(t, "the connection is lost", func() bool { return !r.nc.IsConnected() })
	p.status.Store(http.StatusServiceUnavailable) // as it looks from a machine that is cut off
	if failure, ok := r.checker.probe(t.Context(), p.instance); ok {
		t.Errorf("a check counted without NATS: %q", failure)
	}
	p.status.Store(http.StatusOK)
	srv.Restart(t)
	p.awaitAsked(t, 3)
	watcher := newReplica(t, natstest.Dial(t, srv.URL()), time.Hour)
	watcher.awaitStatus(t, registryapi.StatusHealthy)
	if got, want := watcher.types(t, "pay"), []string{"service.registered", "service.healthy"}; !slices.Equal(got, want) {
		t.Errorf("the events are %v", got)
	}
}

// A lease is not taken from a holder that may live, however often one looks.
func TestALeaseIsNotTakenEarly(t *testing.T) {
	t.Parallel()
	kv, err := newServer(t).JetStream(t).KeyValue(t.Context(), streams.BucketServiceChecks)
	if err != nil {
		t.Fatal(err)
	}
	l := lease{kv: kv, holder: "me", term: time.Hour, log: slog.New(slog.DiscardHandler)}
	if _, err := kv.Put(t.Context(), leaseKey, []byte("you")); err != nil {
		t.Fatal(err)
	}
	var seen sighting
	for range 3 {
		if revision, err := l.take(t.Context(), &seen); revision != 0 || err != nil {
			t.Fatalf("taken at once: %d, %v", revision, err)
		}
	}
	seen.since = seen.since.Add(-2 * time.Hour)
	if _, err := kv.Put(t.Context(), leaseKey, []byte("you")); err != nil { // it lives
		t.Fatal(err)
	}
	if revision, err := l.take(t.Context(), &seen); revision != 0 || err != nil {
		t.Fatalf("taken from one that lives: %d, %v", revision, err)
	}
	seen.since = seen.since.Add(-2 * time.Hour)
	revision, err := l.take(t.Context(), &seen)
	if revision == 0 || err != nil {
		t.Fatalf("not taken from one that is gone: %d, %v", revision, err)
	}
	// An acknowledgement was lost: the revision is ours all the same.
	if _, err := kv.Put(t.Context(), leaseKey, []byte("me")); err != nil {
		t.Fatal(err)
	}
	if next, err := l.renew(t.Context(), revision); err != nil || next <= revision {
		t.Errorf("renewed: %d, %v", next, err)
	}
	if _, err := kv.Put(t.Context(), leaseKey, []byte("you")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.renew(t.Context(), revision); !errors.Is(err, errLeaseLost) {
		t.Errorf("renewed somebody else's: %v", err)
	}
}

// Stopping does not wait for a check that hangs, and such a check is no verdict.
func TestStoppingEndsChecksThatHang(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	asked := make(chan struct{}, 1)
	i := target(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	r := newReplica(t, srv.Connect(t), shortTerm)
	r.mustRegister(t, registryapi.RegisterRequest{
		Name: "pay", ID: "a", Version: "1.0.0", Host: i.Host, Port: i.Port,
		Check: &registryapi.Check{Interval: "1h", Timeout: "1m", Retries: 1}, // longer than stopping may take
	})
	<-asked
	r.stop()
	if got := r.types(t, "pay"); len(got) != 1 {
		t.Errorf("the events are %v", got)
	}
	if _, err := r.checker.lease.kv.Get(t.Context(), leaseKey); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the lease was not given back: %v", err)
	}
}

// Of several registrations of one address, through several replicas, one succeeds.
func TestAnAddressIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var (
		together sync.WaitGroup
		codes    = make(chan endpoint.Code, 6)
	)
	for n := range cap(codes) {
		r := newReplica(t, srv.Connect(t), time.Hour)
		together.Go(func() {
			_, err := r.register(t.Context(), registryapi.RegisterRequest{
				Name: "pay", ID: strconv.Itoa(n), Version: "1.0.0", Host: "10.0.0.7", Port: 80,
			})
			codes <- endpoint.CodeOf(err)
		})
	}
	together.Wait()
	close(codes)
	counts := map[endpoint.Code]int{}
	for code := range codes {
		counts[code]++
	}
	if counts[""] != 1 || counts[endpoint.CodeConflict] != cap(codes)-1 {
		t.Errorf("%v", counts)
	}
}
