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

// prefix is that of the variables that are settings.
const prefix = "SLUICE"

// settings is what the configuration file, and the environment, may say.
type settings struct {
	Groups   map[string]bus.Group       `doc:"How the handlers of a group are run and retried, by the group's name."`
	Policies targetPolicies             `doc:"How services are called, by the name of the one that is called; default is for those that have no settings of their own."`
	Services map[string]serviceSettings `config:"*" doc:"By service."`

	known names
}

// serviceSettings is what is said of one service.
type serviceSettings struct {
	Policies targetPolicies `doc:"How this service calls others; as in [policies], which it wins over."`
}

// names are what a program has. A misspelt one would change nothing.
type names struct {
	groups, services []string
	endpoints        map[string][]string // by service
}

func namesOf(p Program) names {
	n := names{endpoints: endpointsOf(p)}
	for _, g := range p.Groups {
		n.groups = append(n.groups, g.Name)
	}
	for _, s := range p.Services {
		n.services = append(n.services, s.Name)
	}
	return n
}

// Validate reports names that the program does not have.
func (s *settings) Validate() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		if !slices.Contains(s.known.groups, name) {
			errs = append(errs, fmt.Errorf("groups: there is no group %q; there are %s", name, strings.Join(s.known.groups, ", ")))
		}
	}
	errs = append(errs, s.Policies.unknown("policies", s.known)...)
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		if !slices.Contains(s.known.services, name) {
			errs = append(errs, fmt.Errorf("there is no section and no service %q; there are groups, policies, %s", name, strings.Join(s.known.services, ", ")))
			continue
		}
		errs = append(errs, s.Services[name].Policies.unknown(name+".policies", s.known)...)
	}
	return errors.Join(errs...)
}

// loadSettings reads the configuration: what --config names, else $SLUICE_CONFIG, else
// ./sluice.tsk if there is one. The environment wins over it.
func loadSettings(p Program, file string) (settings, error) {
	s := settings{Groups: make(map[string]bus.Group, len(p.Groups)), known: namesOf(p)}
	for _, g := range p.Groups {
		s.Groups[g.Name] = g
	}
	s.expect(p.Environ)
	path, err := config.Find(file, p.Getenv)
	if err != nil {
		return settings{}, err
	}
	loaded, err := config.Load(&s, config.Sources{Path: path, Environ: p.Environ, Prefix: prefix})
	if err != nil {
		return settings{}, err
	}
	if err := s.misspelt(loaded.Unused()); err != nil {
		return settings{}, err
	}
	return s, nil
}

// expect makes room for the policies that the environment sets: which keys a map may
// have, a variable does not tell.
func (s *settings) expect(environ []string) {
	s.Policies = expectPolicies(environ, s.known, "policies")
	for _, service := range s.known.services {
		if policies := expectPolicies(environ, s.known, service, "policies"); len(policies) > 0 {
			if s.Services == nil {
				s.Services = make(map[string]serviceSettings)
			}
			s.Services[service] = serviceSettings{Policies: policies}
		}
	}
}

// misspelt reports variables that can be meant for nobody else and set nothing.
func (s *settings) misspelt(unused []string) error {
	ours := []string{config.Variable(prefix, "groups", ""), config.Variable(prefix, "policies", "")}
	for _, service := range s.known.services {
		ours = append(ours, config.Variable(prefix, service, "policies", ""))
	}
	var errs []error
	for _, name := range unused {
		if slices.ContainsFunc(ours, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
			errs = append(errs, fmt.Errorf("environment %s: is not a known setting", name))
		}
	}
	return errors.Join(errs...)
}
