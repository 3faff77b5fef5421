package registry

import (
	"fmt"

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
