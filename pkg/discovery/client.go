package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/config"
)

var (
	// ErrUnreachable says that there is no connection to NATS, or that it was lost
	// before the answers were in.
	ErrUnreachable = errors.New("NATS is unreachable")
	// ErrNoInstances says that nobody serves what was asked for.
	ErrNoInstances = errors.New("no instance is running")
	// ErrTimeout says that there are instances and that none answered in time.
	ErrTimeout = errors.New("no instance answered in time")
	// ErrName says that a name cannot be that of a service.
	ErrName = errors.New("malformed service name")
)

// Config tunes a [Client]. The zero value is ready to use.
type Config struct {
	TTL      time.Duration `doc:"How long an answer serves others, too."`
	Collect  time.Duration `doc:"The most to wait for answers."`
	Grace    time.Duration `doc:"How long to wait for new instances, once all known ones have answered."`
	Interval time.Duration `doc:"How often those who follow services ask for them."`
}

// Defaults are what a zero field of [Config] means.
func Defaults() Config {
	return Config{TTL: time.Second, Collect: 500 * time.Millisecond, Grace: 50 * time.Millisecond, Interval: 5 * time.Second}
}

// Validate reports what makes no sense.
func (c Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"ttl", c.TTL}, {"collect", c.Collect}, {"grace", c.Grace}, {"interval", c.Interval}} {
		if d.value < time.Millisecond || d.value > time.Hour {
			errs = append(errs, config.At(fmt.Errorf("%s is not from 1ms to 1h", d.value), d.name))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	d := Defaults()
	c.TTL = cmp.Or(c.TTL, d.TTL)
	c.Collect = cmp.Or(c.Collect, d.Collect)
	c.Grace = cmp.Or(c.Grace, d.Grace)
	c.Interval = cmp.Or(c.Interval, d.Interval)
	return c
}

// Instance is one running instance of a service.
type Instance struct {
	Name        string
	ID          string // unique to this run of the process
	Version     string
	Description string
	Metadata    map[string]string
	Endpoints   []Endpoint
	Seen        time.Time // when it answered
}

// Endpoint is one subject that an instance serves.
type Endpoint struct {
	Name       string
	Subject    string
	QueueGroup string
	Metadata   map[string]string
}

// Statistics is what one instance has counted since it started.
type Statistics struct {
	Name, ID, Version string

	Started   time.Time
	Endpoints []EndpointStatistics
}

// EndpointStatistics is what one instance has counted of one endpoint. Data is the
// service's own, JSON; services of sluice/pkg/endpoint put endpoint.Stats there, which
// knows how long answers took.
type EndpointStatistics struct {
	Name, Subject    string
	Requests, Errors int
	LastError        string
	ProcessingTime   time.Duration // total
	Data             jsontext.Value
}

// Client asks for instances. It is safe for concurrent use; a process needs one for
// each connection. What it returns is shared by callers and must not be changed.
type Client struct {
	nc      *nats.Conn
	cfg     Config
	cached  *cache
	recheck *signal
}

// New returns a client on nc, which it shares with others and never closes. nc must be
// permitted to publish on $SRV.> and to receive on its inboxes.
func New(nc *nats.Conn, cfg Config) *Client {
	c := &Client{nc: nc, cfg: cfg.withDefaults(), recheck: newSignal()}
	c.cached = newCache(c.cfg.TTL, c.ask)
	return c
}

// All returns every instance of every service, by name and id.
func (c *Client) All(ctx context.Context) ([]Instance, error) { return c.cached.get(ctx, "") }

// Instances returns every instance of the service of that name, by id.
func (c *Client) Instances(ctx context.Context, name string) ([]Instance, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return c.cached.get(ctx, name)
}

// Version is [Client.Instances] for those whose version is version, to the letter.
// With none of them the error is [ErrNoInstances].
func (c *Client) Version(ctx context.Context, name, version string) ([]Instance, error) {
	all, err := c.Instances(ctx, name)
	if err != nil {
		return nil, err
	}
	var found []Instance
	for _, i := range all {
		if i.Version == version {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s %s: %w", name, version, ErrNoInstances)
	}
	return found, nil
}

// Ping returns the ids of the instances of a service that answer now, sorted. It asks
// each time.
func (c *Client) Ping(ctx context.Context, name string) ([]string, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	answers, err := collect[pingReply](ctx, c, question{verb: micro.PingVerb, name: name, known: c.cached.keys(name)})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(answers))
	for _, a := range answers {
		ids = append(ids, a.ID)
	}
	slices.Sort(ids)
	return ids, nil
}

// Statistics returns what each instance of a service has counted, those of all services
// when name is "", by id. It asks each time.
func (c *Client) Statistics(ctx context.Context, name string) ([]Statistics, error) {
	if err := checkName(name); err != nil && name != "" {
		return nil, err
	}
	answers, err := collect[statsReply](ctx, c, question{verb: micro.StatsVerb, name: name, known: c.cached.keys(name)})
	if err != nil {
		return nil, err
	}
	all := make([]Statistics, 0, len(answers))
	for _, a := range answers {
		all = append(all, a.statistics())
	}
	slices.SortFunc(all, func(a, b Statistics) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// ask returns the instances that answer now; "" means all services.
func (c *Client) ask(ctx context.Context, name string, known []string) ([]Instance, error) {
	answers, err := collect[infoReply](ctx, c, question{verb: micro.InfoVerb, name: name, known: known})
	if err != nil {
		return nil, err
	}
	all := make([]Instance, 0, len(answers))
	for _, a := range answers {
		all = append(all, a.instance(time.Now().UTC()))
	}
	slices.SortFunc(all, compare)
	return all, nil
}

// key is that of the instance's answers.
func (i Instance) key() string { return identity{Name: i.Name, ID: i.ID}.key() }

func compare(a, b Instance) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
}

// namePattern is what micro takes for the name of a service.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return ErrName
	}
	return nil
}
