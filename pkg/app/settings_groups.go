package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/pkg/bus"
	"sluice/pkg/config"
)

// groupSettings say how groups of handlers run.
type groupSettings struct {
	Groups map[string]bus.Group `doc:"How the handlers of a group are run and retried, by the group's name, which is that of its consumer."`

	declared []bus.Group
}

func newGroupSettings(declared []bus.Group) groupSettings {
	s := groupSettings{Groups: make(map[string]bus.Group, len(declared)), declared: declared}
	for _, g := range declared {
		s.Groups[g.Name] = g.WithDefaults()
	}
	return s
}

// Validate reports groups that the program does not have.
func (s groupSettings) Validate() error {
	var known []string
	for _, g := range s.declared {
		known = append(known, g.Name)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		if !slices.Contains(known, name) {
			errs = append(errs, config.At(fmt.Errorf("there is no group %q; there are %s", name, strings.Join(known, ", ")), "groups", name))
		}
	}
	return errors.Join(errs...)
}

// group returns a group as it is configured.
func (c *configuration) group(g bus.Group) bus.Group {
	if configured, ok := c.Groups[g.Name]; ok {
		g = configured
	}
	g.Route = c.route(g.Name)
	return g
}
