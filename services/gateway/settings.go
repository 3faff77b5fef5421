package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/config"
)

// Settings is what can be set from outside. The zero value limits nobody.
type Settings struct {
	Timeout        time.Duration // for each request, from its headers to the answer; default 10 s
	MaxBody        config.Size   // of a request; default 1 MiB, which is what NATS takes
	MaxHeader      config.Size   // of a request; default 64 KiB
	MaxConnections int           // at once; more wait; default 10,000
	TLS            TLS
	CORS           CORS
	// TrustedProxies are the networks whose word on where a request came from is
	// believed: X-Forwarded-For. Default: none.
	TrustedProxies []netip.Prefix
	Client         Rate         // of one client, over all routes; default: no limit
	Routes         []RouteLimit // of one client on one route; default: no limit
	Sessions       Rate         // of logging in from one address; default: no limit
	Events         EventStreams // of GET /v1/events
}

// TLS names the files of the server's certificate; without them HTTP is spoken.
type TLS struct{ Cert, Key string }

// CORS lists the origins whose scripts may read answers, "https://shop.example"; "*"
// is everybody's. Without any there are no answers for preflights.
type CORS struct{ Origins []string }

// Rate is a limit of requests. Without PerSecond there is none.
type Rate struct {
	PerSecond float64 `config:"rate"` // on the average
	Burst     int     // at once; default PerSecond rounded up
}

// RouteLimit is the limit of one route. It is written "POST /v1/orders=50:100", where
// the last number, the burst, may be left out.
type RouteLimit struct {
	Route string // "POST /v1/orders/{id}/confirm", as the endpoint has it

	Rate
}

var routeLimitPattern = regexp.MustCompile(`^((?:GET|POST|PUT|PATCH|DELETE) /[^ =]+)=([0-9.]+)(?::([0-9]+))?$`)

var errRouteLimit = errors.New(`is not a limit such as "POST /v1/orders=50:100"`)

// UnmarshalText reads a limit.
func (l *RouteLimit) UnmarshalText(text []byte) error {
	m := routeLimitPattern.FindStringSubmatch(string(text))
	if m == nil {
		return errRouteLimit
	}
	perSecond, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return errRouteLimit
	}
	read := RouteLimit{Route: m[1], Rate: Rate{PerSecond: perSecond}}
	if m[3] != "" {
		if read.Burst, err = strconv.Atoi(m[3]); err != nil {
			return errRouteLimit
		}
	}
	*l = read
	return nil
}

// Validate reports settings that make no sense.
func (s Settings) Validate() error {
	var errs []error
	within := func(ok bool, name, rule string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s must be %s", name, rule))
		}
	}
	within(s.Timeout >= 10*time.Millisecond && s.Timeout <= time.Hour, "timeout", "from 10ms to 1h")
	within(s.MaxBody >= 1 && s.MaxBody <= 64<<20, "max_body", "from 1B to 64MiB")
	within(s.MaxHeader >= 4<<10 && s.MaxHeader <= 1<<20, "max_header", "from 4KiB to 1MiB")
	within(s.MaxConnections >= 1, "max_connections", "at least 1")
	within((s.TLS.Cert == "") == (s.TLS.Key == ""), "tls.cert and tls.key", "set both or neither")
	for name, r := range map[string]Rate{"client": s.Client, "sessions": s.Sessions} {
		within(r.PerSecond >= 0 && r.Burst >= 0, name, "a rate and a burst from 0")
	}
	for _, l := range s.Routes {
		within(l.PerSecond > 0, "the rate of "+l.Route, "more than 0")
	}
	for _, origin := range s.CORS.Origins {
		within(origin == "*" || strings.Contains(origin, "://") && !strings.HasSuffix(origin, "/"), "origin "+strconv.Quote(origin), `like "https://shop.example"`)
	}
	return errors.Join(errs...)
}

func (s Settings) withDefaults() Settings {
	s.Timeout = cmp.Or(s.Timeout, 10*time.Second)
	s.MaxBody = cmp.Or(s.MaxBody, 1<<20)
	s.MaxHeader = cmp.Or(s.MaxHeader, 64<<10)
	s.MaxConnections = cmp.Or(s.MaxConnections, 10_000)
	s.Events = s.Events.withDefaults()
	return s
}

// environment is what the names of the gateway's settings in the environment begin with.
const environment = "SLUICE_GATEWAY"

// readSettings returns what the environment says: SLUICE_GATEWAY_TIMEOUT,
// SLUICE_GATEWAY_TLS_CERT, SLUICE_GATEWAY_CLIENT_RATE and so on. Logging in is limited
// without being told to, so that passwords can't be tried out at full speed.
func readSettings(getenv func(string) string) (Settings, error) {
	s := Settings{Sessions: Rate{PerSecond: 10, Burst: 50}}.withDefaults()
	var environ []string
	for _, one := range config.Settings(s) {
		name := environment + "_" + strings.ToUpper(strings.ReplaceAll(one.Path, ".", "_"))
		if value := getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	if _, err := config.Load(&s, config.Sources{Prefix: environment, Environ: environ}); err != nil {
		return Settings{}, fmt.Errorf("settings of the gateway, %s_…: %w", environment, err)
	}
	return s, nil
}
