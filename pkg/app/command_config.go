package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/pkg/config"
)

var errConfigUsage = errors.New("config takes nothing, reference, or check and a file")

// showConfig is the command config.
func (p Program) showConfig(o options) error {
	switch {
	case len(o.args) == 0:
		return p.printConfig(o)
	case slices.Equal(o.args, []string{"reference"}):
		return p.printReference()
	case len(o.args) == 2 && o.args[0] == "check":
		from := o.from
		from.Path = o.args[1]
		if _, err := p.load(from); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(p.Stdout, "%s is in order\n", from.Path); err != nil {
			return fmt.Errorf("print the outcome: %w", err)
		}
		return nil
	default:
		return errConfigUsage
	}
}

// printReference prints the settings as they are declared.
func (p Program) printReference() error {
	if _, err := fmt.Fprintf(p.Stdout, "# Every setting of %s, with its default: %[1]s config reference\n#\n"+
		"# A setting such as nats.url is %s_NATS_URL in the environment, which wins over this\n"+
		"# file; flags win over both. The language is in go doc sluice/pkg/config.\n\n", p.Name, prefix); err != nil {
		return fmt.Errorf("print the reference: %w", err)
	}
	return config.Reference(p.Stdout, p.compose(nil))
}

// printConfig prints the settings, and the variables that OpenTelemetry reads by itself.
func (p Program) printConfig(o options) error {
	if err := o.loaded.Print(p.Stdout); err != nil {
		return err
	}
	var b strings.Builder
	for _, pair := range slices.Sorted(slices.Values(p.Environ)) {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "OTEL_") || value == "" {
			continue
		}
		if strings.HasSuffix(name, "_HEADERS") { // tokens are there
			value = "********"
		}
		fmt.Fprintf(&b, "# %s: %q  # environment, for OpenTelemetry\n", name, serverURL(value).Redacted())
	}
	if b.Len() == 0 {
		return nil
	}
	if _, err := fmt.Fprint(p.Stdout, "\n"+b.String()); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	return nil
}
