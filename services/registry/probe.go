package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"

	"sluice/services/registry/registryapi"
)

// prober makes single checks over HTTP and HTTPS. It trusts nothing it meets: it goes to
// allowed addresses only, through no proxy, verifies certificates, follows no redirect,
// reads no body and few headers.
type prober struct{ client *http.Client }

const maxProbeHeader = 16 << 10

// newProber returns a prober that trusts the authorities in roots, those of the system when
// it is nil.
func newProber(a addresses, roots *x509.CertPool) prober {
	dialer := &net.Dialer{Control: a.control}
	return prober{client: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: maxProbeHeader, ForceAttemptHTTP2: false,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// probe asks an instance how it is and returns why the check failed, or "" when it is
// well. The reason never repeats what the other side sent.
func (p prober) probe(ctx context.Context, i instance) (failure string) {
	limit := registryapi.Check{}.Limit()
	if i.checked() {
		limit = i.Check.Limit()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	target, err := probeURL(i)
	if err != nil {
		return "malformed health endpoint"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return "malformed health endpoint"
	}
	req.Header.Set("User-Agent", "sluice-registry")
	res, err := p.client.Do(req)
	if err != nil {
		return reason(err)
	}
	if err := res.Body.Close(); err != nil {
		return "answer broken off"
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return "status " + strconv.Itoa(res.StatusCode)
	}
	return ""
}

func probeURL(i instance) (string, error) {
	path, err := url.ParseRequestURI(i.HealthEndpoint)
	if err != nil {
		return "", err
	}
	path.Scheme, path.Host, path.User = i.Check.URLScheme(), net.JoinHostPort(i.Host, strconv.Itoa(i.Port)), nil
	return path.String(), nil
}

// reason says in few words why there is no answer.
func reason(err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, errAddress):
		return errAddress.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out"
	case errors.As(err, &dns):
		return "name not resolved"
	case errors.As(err, &certificate):
		return "certificate not valid"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "no TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route"
	default:
		return "no answer"
	}
}
