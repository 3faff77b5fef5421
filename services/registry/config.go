package registry

import (
	"crypto/x509"
	"fmt"
	"os"

	"sluice/pkg/app"
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
