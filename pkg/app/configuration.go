package app

import (
	"slices"
	"strings"

	"sluice/pkg/config"
)

// prefix is that of the variables that are settings.
const prefix = "SLUICE"

// configuration is all settings of a program: its own, which stand at the top, and those
// that its services declare, whether they run here or not. It does not change.
type configuration struct {
	settings
	dataSettings
	groupSettings
	routing
	policySettings

	known    names
	services map[string]serviceSettings
	parts    *config.Composite
	loaded   *config.Loaded
}

// compose returns the settings of a program with their defaults. What a map of policies
// may hold, a variable does not tell: so there is room for those that the environment has.
func (p Program) compose(environ []string) *config.Composite {
	known := namesOf(p)
	parts := []config.Part{
		{Settings: dataSettings{Data: "./data"}},
		{Settings: defaultSettings()},
		{Settings: newGroupSettings(p.Groups)},
		{Settings: newRouting(known)},
		{Settings: policySettings{Policies: expectPolicies(environ, known, "policies"), known: known}},
	}
	for _, s := range p.Services {
		if s.Settings != nil {
			parts = append(parts, config.Part{Name: s.Name, Doc: "Of the service " + s.Name + ".", Settings: s.Settings})
		}
		calls := serviceSettings{Policies: expectPolicies(environ, known, s.Name, "policies"), known: known}
		parts = append(parts, config.Part{Name: s.Name, Doc: "Of the service " + s.Name + ".", Settings: calls})
	}
	return config.Compose(parts...)
}

// load reads the configuration: the file wins over the defaults, the environment over the
// file, and flags over all.
func (p Program) load(from config.Sources) (configuration, error) {
	from.Environ, from.Prefix, from.Strict = p.Environ, prefix, true
	c := configuration{known: namesOf(p), parts: p.compose(p.Environ), services: make(map[string]serviceSettings)}
	loaded, err := config.Load(c.parts, from)
	if err != nil {
		return configuration{}, err
	}
	c.loaded = loaded
	c.settings, c.dataSettings = config.PartOf[settings](c.parts, ""), config.PartOf[dataSettings](c.parts, "")
	c.groupSettings, c.routing = config.PartOf[groupSettings](c.parts, ""), config.PartOf[routing](c.parts, "")
	c.policySettings = config.PartOf[policySettings](c.parts, "")
	for _, s := range p.Services {
		c.services[s.Name] = config.PartOf[serviceSettings](c.parts, s.Name)
	}
	return c, nil
}

// getenv returns a variable of the environment.
func (p Program) getenv(name string) string {
	for _, pair := range slices.Backward(p.Environ) {
		if n, value, ok := strings.Cut(pair, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// names are what a program has. A misspelt one would change nothing.
type names struct {
	groups    []string
	routes    map[string][]string // what may be routed, by group
	endpoints map[string][]string // by service
}

func namesOf(p Program) names {
	n := names{endpoints: endpointsOf(p), routes: p.Routes}
	for _, g := range p.Groups {
		n.groups = append(n.groups, g.Name)
	}
	return n
}
