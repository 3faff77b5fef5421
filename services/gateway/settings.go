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
	Timeout        time.Duration  `doc:"For a request, from its headers to the answer."`
	MaxBody        config.Size    `doc:"Of a request; more than 1MiB does not go over NATS as that is by default."`
	MaxHeader      config.Size    `doc:"Of a request."`
	MaxConnections int            `doc:"At once; more wait."`
	TLS            TLS            `doc:"The server's certificate; without one HTTP is spoken."`
	CORS           CORS           `doc:"Whose scripts may read answers."`
	TrustedProxies []netip.Prefix `doc:"Networks whose word on where a request came from is believed, X-Forwarded-For: 10.0.0.0/8." reload:"true"`
	Client         Rate           `doc:"How often one user or service, or without a token one address, may come, over all routes." reload:"true"`
	Routes         []RouteLimit   `doc:"The same for single routes: POST /v1/orders=50:100, of which the last number, the burst, may be left out." reload:"true"`
	Sessions       Rate           `doc:"How often one address may log in." reload:"true"`
	Events         EventStreams   `doc:"Live events, GET /v1/events."`
}

// TLS names the files of the server's certificate; without them HTTP is spoken.
type TLS struct {
	Cert string `doc:"A file with the certificate, in PEM."`
	Key  string `doc:"A file with its key, in PEM."`
}

// CORS lists the origins whose scripts may read answers, "https://shop.example"; "*"
// is everybody's. Without any there are no answers for preflights.
type CORS struct {
	Origins []string `doc:"Origins such as https://shop.example, or * for everybody's; no cookies. Empty: nobody's."`
}

// Rate is a limit of requests. Without PerSecond there is none.
type Rate struct {
	PerSecond float64 `config:"rate" doc:"Requests a second, on the average; 0 is no limit."`
	Burst     int     `doc:"Requests at once; 0 is the rate rounded up."`
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

// MarshalText writes a limit as UnmarshalText reads it.
func (l RouteLimit) MarshalText() ([]byte, error) {
	text := l.Route + "=" + strconv.FormatFloat(l.PerSecond, 'f', -1, 64)
	if l.Burst > 0 {
		text += ":" + strconv.Itoa(l.Burst)
	}
	return []byte(text), nil
}

// Validate reports settings that make no sense.
func (s Settings) Validate() error {
	var errs []error
	within := func(ok bool, rule string, path ...string) {
		if !ok {
			errs = append(errs, config.At(errors.New("must be "+rule), path...))
		}
	}
	within(s.Timeout >= 10*time.Millisecond && s.Timeout <= time.Hour, "from 10ms to 1h", "timeout")
	within(s.MaxBody >= 1 && s.MaxBody <= 64<<20, "from 1B to 64MiB", "max_body")
	within(s.MaxHeader >= 4<<10 && s.MaxHeader <= 1<<20, "from 4KiB to 1MiB", "max_header")
	within(s.MaxConnections >= 1, "at least 1", "max_connections")
	within((s.TLS.Cert == "") == (s.TLS.Key == ""), "set with both cert and key, or neither", "tls")
	for _, l := range s.Routes {
		within(l.PerSecond > 0, "more than 0 for "+l.Route, "routes")
	}
	for _, origin := range s.CORS.Origins {
		within(origin == "*" || strings.Contains(origin, "://") && !strings.HasSuffix(origin, "/"),
			fmt.Sprintf("like https://shop.example, and not like %q", origin), "cors", "origins")
	}
	return errors.Join(errs...)
}

// Validate reports a limit that makes no sense.
func (r Rate) Validate() error {
	var errs []error
	if r.PerSecond < 0 {
		errs = append(errs, config.At(errors.New("is negative"), "rate"))
	}
	if r.Burst < 0 {
		errs = append(errs, config.At(errors.New("is negative"), "burst"))
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

// defaultSettings limit logging in, so that passwords can't be tried out at full speed.
func defaultSettings() Settings {
	return Settings{Sessions: Rate{PerSecond: 10, Burst: 50}}.withDefaults()
}
