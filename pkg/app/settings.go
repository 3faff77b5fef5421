package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/pkg/bus"
	"sluice/pkg/config"
)

// settings is what the configuration file, and the environment, may say.
type settings struct {
	Groups map[string]bus.Group `doc:"How the handlers of a group are run and retried, by the group's name."`

	known []string // names of groups
}

// Validate reports groups that the program does not have: a misspelt name would
// change nothing.
func (s *settings) Validate() error {
	var errs []error
	for name := range s.Groups {
		if !slices.Contains(s.known, name) {
			errs = append(errs, fmt.Errorf("groups: there is no group %q; there are %s", name, strings.Join(s.known, ", ")))
		}
	}
	return errors.Join(errs...)
}

// loadSettings reads the configuration: what --config names, else $SLUICE_CONFIG, else
// ./sluice.tsk if there is one. The environment wins over it.
func loadSettings(p Program, file string) (settings, error) {
	s := settings{Groups: make(map[string]bus.Group, len(p.Groups))}
	for _, g := range p.Groups {
		s.Groups[g.Name] = g
		s.known = append(s.known, g.Name)
	}
	path, err := config.Find(file, p.Getenv)
	if err != nil {
		return settings{}, err
	}
	if _, err := config.Load(&s, config.Sources{Path: path, Environ: p.Environ}); err != nil {
		return settings{}, err
	}
	return s, nil
}
