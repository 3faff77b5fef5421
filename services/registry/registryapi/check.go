package registryapi

import (
	"cmp"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sluice/pkg/endpoint"
)

// Check says how an instance is checked: a GET on its health endpoint, where 2xx is a
// success. Redirects are not followed.
type Check struct {
	Scheme   string `json:"scheme,omitempty"`   // "http" or "https", whose certificate is verified; default http
	Interval string `json:"interval,omitempty"` // from one check to the next, "10s"; from 100ms to 24h; default 10s
	Timeout  string `json:"timeout,omitempty"`  // for the whole answer, "2s"; from 10ms to the interval, 1m at most; default 2s, or the interval
	Retries  int    `json:"retries,omitzero"`   // failures in a row that make it unhealthy, 1 to 100; default 3; one success makes it healthy
}

const (
	shortestInterval = 100 * time.Millisecond
	longestInterval  = 24 * time.Hour
	defaultInterval  = 10 * time.Second
	shortestTimeout  = 10 * time.Millisecond
	longestTimeout   = time.Minute
	defaultTimeout   = 2 * time.Second
	mostRetries      = 100
	defaultRetries   = 3
)

// The schemes of a check.
const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
)

// Normal returns the check with its defaults written out, but for the scheme: that is
// there for HTTPS alone.
func (c Check) Normal() Check {
	c.Interval, c.Timeout, c.Retries = c.Every().String(), c.Limit().String(), cmp.Or(c.Retries, defaultRetries)
	if c.Scheme == schemeHTTP {
		c.Scheme = ""
	}
	return c
}

// URLScheme returns "http" or "https".
func (c Check) URLScheme() string { return cmp.Or(c.Scheme, schemeHTTP) }

// Every returns the time from one check to the next.
func (c Check) Every() time.Duration {
	d, err := time.ParseDuration(c.Interval)
	if err != nil {
		return defaultInterval
	}
	return d
}

// Limit returns how long an answer may take.
func (c Check) Limit() time.Duration {
	d, err := time.ParseDuration(c.Timeout)
	if err != nil {
		return min(defaultTimeout, c.Every())
	}
	return d
}

// problems returns what is wrong with the check, its members named with prefix.
func (c Check) problems(prefix string) []endpoint.FieldError {
	var wrong []endpoint.FieldError
	if scheme := c.URLScheme(); scheme != schemeHTTP && scheme != schemeHTTPS {
		wrong = append(wrong, endpoint.FieldError{Field: prefix + "scheme", Message: "must be http or https"})
	}
	if !within(c.Interval, shortestInterval, longestInterval) {
		wrong = append(wrong, endpoint.FieldError{Field: prefix + "interval", Message: "must be a duration such as 10s, from 100ms to 24h"})
	}
	if !within(c.Timeout, shortestTimeout, min(longestTimeout, c.Every())) {
		wrong = append(wrong, endpoint.FieldError{Field: prefix + "timeout", Message: "must be a duration such as 2s, from 10ms to 1m and not longer than the interval"})
	}
	if c.Retries < 0 || c.Retries > mostRetries {
		wrong = append(wrong, endpoint.FieldError{Field: prefix + "retries", Message: "must be 1 to 100"})
	}
	return wrong
}

// within reports whether text is absent or a duration from least to most.
func within(text string, least, most time.Duration) bool {
	if text == "" {
		return true
	}
	d, err := time.ParseDuration(text)
	return err == nil && d >= least && d <= most
}

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	idPattern      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	versionPattern = regexp.MustCompile(`^[A-Za-z0-9.+_-]{1,64}$`)
	hostPattern    = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
)

func checkName(name string) []endpoint.FieldError {
	if namePattern.MatchString(name) {
		return nil
	}
	return []endpoint.FieldError{{Field: "name", Message: "must be 1 to 64 of [a-z0-9-]"}}
}

func isHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || hostPattern.MatchString(host)
}

// isPath reports whether text is absent or the path of a URL that leads nowhere else.
func isPath(text string) bool {
	if text == "" {
		return true
	}
	u, err := url.ParseRequestURI(text)
	return err == nil && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && u.Host == "" && u.Fragment == "" && !strings.Contains(text, "#")
}
