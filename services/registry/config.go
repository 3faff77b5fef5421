package registry

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/app"
	"sluice/pkg/config"
	"sluice/pkg/event"
)

// allowedAddresses returns what the environment asks for in
// SLUICE_REGISTRY_ALLOW_LOOPBACK: true lets checks go to this machine, as on a laptop.
// Default false.
func allowedAddresses(env app.Env) (addresses, error) {
	switch value := env.Getenv("SLUICE_REGISTRY_ALLOW_LOOPBACK"); value {
	case "", "false":
		return addresses{}, nil
	case "true":
		return addresses{loopback: true}, nil
	default:
		return addresses{}, fmt.Errorf("SLUICE_REGISTRY_ALLOW_LOOPBACK %q is neither true nor false", value)
	}
}

// authorities returns the certificate authorities that checks over HTTPS trust: those of the
// system and, with SLUICE_REGISTRY_CA_FILE, those in that file, in PEM.
func authorities(env app.Env) (*x509.CertPool, error) {
	file := env.Getenv("SLUICE_REGISTRY_CA_FILE")
	if file == "" {
		return nil, nil //nolint:nilnil // that is the system's own
	}
	content, err := os.ReadFile(file) //nolint:gosec // G304: which file it is, is the operator's choice
	if err != nil {
		return nil, fmt.Errorf("SLUICE_REGISTRY_CA_FILE: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("certificate authorities of the system: %w", err)
	}
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("SLUICE_REGISTRY_CA_FILE %s: there is no certificate in PEM in it", file)
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
			errs = append(errs, fmt.Errorf("%s must be %s", name, rule))
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

// alertsEnvironment is what the names of the settings of alerts begin with.
const alertsEnvironment = "SLUICE_REGISTRY_ALERTS"

// readAlerts returns what the environment says: SLUICE_REGISTRY_ALERTS_EVERY,
// SLUICE_REGISTRY_ALERTS_LAG_TIME and so on.
func readAlerts(getenv func(string) string) (Alerts, error) {
	a := defaultAlerts()
	var environ []string
	for _, one := range config.Settings(a) {
		name := alertsEnvironment + "_" + strings.ToUpper(one.Path)
		if value := getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	if _, err := config.Load(&a, config.Sources{Prefix: alertsEnvironment, Environ: environ}); err != nil {
		return Alerts{}, fmt.Errorf("settings of alerts, %s_…: %w", alertsEnvironment, err)
	}
	return a, nil
}
