package registry

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"sluice/pkg/config"
	"sluice/pkg/event"
)

// settings are what the configuration says in [registry].
type settings struct {
	AllowLoopback bool     `doc:"Lets checks go to this machine, as on a laptop."`
	CAFile        string   `config:"ca_file" doc:"A file with certificate authorities, in PEM, that checks over HTTPS trust beside those of the system."`
	Presence      watching `doc:"How instances on NATS are watched."`
	Alerts        Alerts   `doc:"What operators are told of."`
}

// watching says when instances on NATS have gone, or are unhealthy.
type watching struct {
	Interval time.Duration `doc:"How often all are asked."`
	Settle   time.Duration `doc:"How long one is silent before it has gone; longer than a lost connection takes to come back."`
	Failures int           `doc:"How often in a row one says that it is failing before it is unhealthy."`
}

func defaults() settings {
	return settings{Presence: watching{Interval: askEvery, Settle: settleTime, Failures: failuresInARow}, Alerts: defaultAlerts()}
}

// Validate reports what makes no sense.
func (w watching) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"interval": w.Interval, "settle": w.Settle} {
		if d < 10*time.Millisecond || d > time.Hour {
			errs = append(errs, config.At(fmt.Errorf("%s is not from 10ms to 1h", d), name))
		}
	}
	if w.Failures < 1 || w.Failures > 1000 {
		errs = append(errs, config.At(fmt.Errorf("%d is not from 1 to 1000", w.Failures), "failures"))
	}
	return errors.Join(errs...)
}

// authorities returns the certificate authorities that checks over HTTPS trust: those of
// the system and those in the file, if there is one.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // that is the system's own
	}
	content, err := os.ReadFile(file) //nolint:gosec // G304: which file it is, is the operator's choice
	if err != nil {
		return nil, fmt.Errorf("registry.ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("certificate authorities of the system: %w", err)
	}
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("registry.ca_file %s: there is no certificate in PEM in it", file)
	}
	return roots, nil
}

// Alerts says what operators want to be told of, and how soon.
type Alerts struct {
	Every time.Duration `doc:"How often the registry looks at what alerts are about, from 100ms to 1h."`
	After time.Duration `doc:"How long something must be over its limit before an alert is raised, and within it before it is resolved; 0s is at once."`
	// DeadLetters, LagEvents and LagTime are the limits: what is more is trouble.
	DeadLetters uint64        `doc:"The most dead letters of one consumer."`
	LagEvents   uint64        `doc:"The most messages that a consumer or a read model may be behind."`
	LagTime     time.Duration `doc:"The longest that the first message a consumer or a read model has not handled may wait, from 1s."`
	Services    []string      `doc:"Services that must run: one without any instance counts as unhealthy."`
}

// defaultAlerts are the settings of whoever sets nothing.
func defaultAlerts() Alerts {
	return Alerts{Every: 10 * time.Second, After: time.Minute, LagEvents: 10_000, LagTime: time.Minute}
}

// Validate reports settings that make no sense.
func (a Alerts) Validate() error {
	var errs []error
	within := func(ok bool, name, rule string) {
		if !ok {
			errs = append(errs, config.At(errors.New("must be "+rule), name))
		}
	}
	within(a.Every >= 100*time.Millisecond && a.Every <= time.Hour, "every", "from 100ms to 1h")
	within(a.After >= 0 && a.After <= 24*time.Hour, "after", "from 0s to 24h")
	within(a.LagEvents >= 1, "lag_events", "at least 1")
	within(a.LagTime >= time.Second && a.LagTime <= 24*time.Hour, "lag_time", "from 1s to 24h")
	for _, name := range a.Services {
		within(event.CheckID(name) == nil, "services", "names of services, and "+strconv.Quote(name)+" is none")
	}
	return errors.Join(errs...)
}
