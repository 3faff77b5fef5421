package permissions_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// trace is a server's log that keeps which subjects each service published on and
// subscribed to.
type trace struct {
	mu         sync.Mutex
	published  map[string]map[string]bool // by service
	subscribed map[string]map[string]bool
}

func newTrace() *trace {
	return &trace{published: make(map[string]map[string]bool), subscribed: make(map[string]map[string]bool)}
}

// operation is a line of the server's trace: who, what and where. A connection of Sluice
// is named after its service.
var operation = regexp.MustCompile(`:sluice-([a-z]+)-[a-z-]+".* - <<- \[(PUB|HPUB|SUB) ([^ \]]+)`)

// Tracef keeps an operation of a service.
func (t *trace) Tracef(format string, v ...any) {
	m := operation.FindStringSubmatch(fmt.Sprintf(format, v...))
	if m == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	kind := t.published
	if m[2] == "SUB" {
		kind = t.subscribed
	}
	if kind[m[1]] == nil {
		kind[m[1]] = make(map[string]bool)
	}
	kind[m[1]][m[3]] = true
}

func (t *trace) Noticef(string, ...any) {}
func (t *trace) Warnf(string, ...any)   {}
func (t *trace) Fatalf(string, ...any)  {}
func (t *trace) Errorf(string, ...any)  {}
func (t *trace) Debugf(string, ...any)  {}

// has tells whether a service has published on a subject that begins like this.
func (t *trace) has(service, beginning string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for subject := range t.published[service] {
		if strings.HasPrefix(subject, beginning) {
			return true
		}
	}
	return false
}

// setup is whose name the connection has on which a process looks whether NATS is set up.
const setup = "sluice"

// rare is what a service is permitted for days that this test does not have.
var rare = []struct{ what, why string }{
	{`\$JS\.FC\.`, "the server asks a watcher how far it is when there is much to watch"},
	{`-g[2-9]\b|STREAM\.DELETE\.KV_`, "a read model is rebuilt more than once, and what was rebuilt is deleted later"},
	{`MSG\.GET\.[A-Z]+_INTAKE`, "what is overwritten is there"},
	{`-redrive\b`, "only what a group has given up is redriven to it; the intakes show how"},
	{`publish deadletter\.[a-z]+-(users|orders|alerts|timers|due|erasure)\.`, "handlers of events that services wrote do not fail here"},
	{`notification .*DEADLETTERS`, "likewise"},
	{`CONSUMER\.RESET\..*(_INTAKE|TIMERS)\.`, "the consumer of a queue begins where the queue does"},
	{`(MSG|DIRECT)\.GET\.(USERS|ORDERS|NOTIFICATIONS|SERVICES|ALERTS)$`, "what comes before an event is read when the reader has not seen it"},
	{`CONSUMER\.MSG\.NEXT\.KV_`, "a bucket is read like a stream by who has lost it to another writer"},
	{`DIRECT\.GET\.KV_order-users\.>`, "the user service is away before the replica of users is rebuilt"},
	{`MSG\.GET\.KV_keys`, "a token comes before the watcher has heard of its key"},
	{`CONSUMER\.CREATE\.KV_[a-z0-9-]+$`, "a watcher that loses its consumer with a node makes another"},
	{`CONSUMER\.DELETE\.KV_keys`, "a watcher that is stopped in time deletes its consumer"},
	{`order-snapshots`, "orders have short histories"},
	{`svc\.\*\.requests\.cancel`, "the registry stops while it asks a service for its read models"},
	{`svc\.user\.requests\.cancel`, "who asked for an order goes away while the user service is asked"},
}

// unused returns what a service is permitted and has not done.
func (t *trace) unused(service string, publish, subscribe []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []string
	published := maps.Clone(t.published[service])
	maps.Copy(published, t.published[setup])
	for _, one := range []struct {
		kind    string
		allowed []string
		done    map[string]bool
	}{{"publish", publish, published}, {"subscribe", subscribe, t.subscribed[service]}} {
		for _, pattern := range one.allowed {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(one.done)), func(subject string) bool { return covers(pattern, subject) }) {
				left = append(left, service+" does not need to "+one.kind+" "+pattern)
			}
		}
	}
	return slices.DeleteFunc(left, func(one string) bool {
		return slices.ContainsFunc(rare, func(r struct{ what, why string }) bool { return regexp.MustCompile(r.what).MatchString(one) })
	})
}

// covers tells whether a subject, which may have wildcards, lies within a pattern.
func covers(pattern, subject string) bool {
	allowed, asked := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range allowed {
		switch {
		case token == ">":
			return len(asked) > i
		case i >= len(asked):
			return false
		case token != "*" && token != asked[i]:
			return false
		}
	}
	return len(allowed) == len(asked)
}
