package app

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"sluice/pkg/config"
	"sluice/pkg/discovery"
	"sluice/pkg/telemetry"
)

// settings is what the configuration says of the process.
type settings struct {
	NATS      natsSettings     `doc:"The NATS server: with a url, creds or a context one elsewhere, else one embedded in the process."`
	HTTP      httpSettings     `doc:"The HTTP gateway; the rest of its settings is below gateway."`
	Ops       opsSettings      `doc:"What those who run the process look at."`
	Log       logSettings      `doc:"The log, on stderr."`
	Discovery discovery.Config `doc:"How instances of services are found."`
}

func defaultSettings() settings {
	return settings{
		NATS:      natsSettings{Listen: "127.0.0.1:4222", Sync: syncing{interval: 2 * time.Minute}, Replicas: 1},
		HTTP:      httpSettings{Address: "127.0.0.1:8080"},
		Log:       logSettings{Level: "info", Format: "text"},
		Discovery: discovery.Defaults(),
	}
}

// dataSettings say where files are.
type dataSettings struct {
	Data string `doc:"The folder for the embedded server's streams and whatever services keep in files."`
}

// Validate reports what makes no sense.
func (s dataSettings) Validate() error {
	if s.Data == "" {
		return config.At(errors.New("is empty"), "data")
	}
	return nil
}

type natsSettings struct {
	URL      serverURL `doc:"Where the servers are, with commas between: nats://host:4222." env:"NATS_URL"`
	Creds    string    `doc:"A file with credentials." env:"NATS_CREDS"`
	Context  string    `doc:"A context of the nats CLI, or the whole path of its file."`
	Listen   string    `doc:"Where the embedded server listens."`
	Sync     syncing   `doc:"What an acknowledged event survives: always (a power cut), or how often is synced to disk; say how a server elsewhere is set."`
	Replicas int       `doc:"Copies of each stream that is created: 3 on a cluster."`
}

type httpSettings struct {
	Address string `doc:"Where the gateway listens."`
}

type opsSettings struct {
	Address string `doc:"Of /healthz, /readyz and /metrics of this process, where nobody is asked for a token; empty: nowhere."`
}

type logSettings struct {
	Level  string `doc:"From which level lines are written, by service and package: info,order=debug,bus=warn." reload:"true"`
	Format string `doc:"text or json."`
}

// mostReplicas is what NATS allows.
const mostReplicas = 5

// Validate reports what makes no sense.
func (s natsSettings) Validate() error {
	var errs []error
	if s.Replicas < 1 || s.Replicas > mostReplicas {
		errs = append(errs, config.At(fmt.Errorf("%d is not from 1 to %d", s.Replicas, mostReplicas), "replicas"))
	}
	return errors.Join(append(errs, checkAddress(s.Listen, "listen"))...)
}

// Validate reports what makes no sense.
func (s httpSettings) Validate() error { return checkAddress(s.Address, "address") }

// Validate reports what makes no sense.
func (s opsSettings) Validate() error {
	if s.Address == "" {
		return nil
	}
	return checkAddress(s.Address, "address")
}

// Validate reports what makes no sense.
func (s logSettings) Validate() error {
	var errs []error
	if s.Format != "text" && s.Format != "json" {
		errs = append(errs, config.At(fmt.Errorf("%q is neither text nor json", s.Format), "format"))
	}
	return errors.Join(append(errs, config.At(new(telemetry.Levels).Set(s.Level), "level"))...)
}

func checkAddress(address, key string) error {
	if _, _, err := splitAddress(address); err != nil {
		return config.At(fmt.Errorf("%q is not an address such as 127.0.0.1:8080", address), key)
	}
	return nil
}

// serverURL is the address of servers, which may hold a password.
type serverURL string

// Redacted returns it without a password.
func (u serverURL) Redacted() string {
	servers := strings.Split(string(u), ",")
	for i, s := range servers {
		parsed, err := url.Parse(strings.TrimSpace(s))
		if err != nil {
			servers[i] = "a malformed address"
			continue
		}
		servers[i] = parsed.Redacted()
	}
	return strings.Join(servers, ",")
}

// syncing is when a server syncs what it has written.
type syncing struct {
	always   bool
	interval time.Duration // when not always
}

// MarshalText returns always, or the interval.
func (s syncing) MarshalText() ([]byte, error) {
	if s.always {
		return []byte("always"), nil
	}
	text := s.interval.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return []byte(text), nil
}

// UnmarshalText reads always, or an interval.
func (s *syncing) UnmarshalText(text []byte) error {
	if string(text) == "always" {
		*s = syncing{always: true}
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return errors.New("neither always nor a duration such as 2m")
	}
	*s = syncing{interval: d}
	return nil
}
