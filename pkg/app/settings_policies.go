package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"

	"sluice/pkg/config"
	"sluice/pkg/endpoint"
	"sluice/pkg/projection"
	"sluice/pkg/resilience"
)

// Policies returns how this service calls others, by target ("user"), by endpoint
// ("user.get") and for all others ([resilience.Default]). What own says of a target is
// the default of the configuration's
//
//	[policies.user]              # how everybody calls user
//	timeout: 1s
//	breaker { failures: 3, recovery: 10s }
//	[policies.user.get]          # this endpoint, which then has a breaker of its own
//	[order.policies.user]        # how order does
//
// and of variables such as SLUICE_POLICIES_USER_BREAKER_FAILURES. A setting that one of
// them leaves out comes from the next: the endpoint is asked before the target and the
// target before the default, and each of them first in the section of this service, then
// in that for all, then in own.
//
// A configuration that is reloaded changes the set: see [resilience.Set.Update].
//
// hooks are [endpoint.Hooks] as a rule. The policies are measured for as long as the
// process runs, with this service as the attribute sluice.caller: see
// [resilience.Set.Measure].
func (e Env) Policies(own map[string]resilience.Config, hooks resilience.Hooks) (*resilience.Set, error) {
	set, err := resilience.NewSet(e.service.supervisor.configured().policiesOf(e.Service, own), hooks)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	e.service.policed(policed{set: set, own: own})
	if _, err := set.Measure(otel.GetMeterProvider(), attribute.String("sluice.caller", e.Service)); err != nil {
		return nil, fmt.Errorf("measure policies: %w", err)
	}
	return set, nil
}

// policySettings say how services are called, by whomever.
type policySettings struct {
	Policies targetPolicies `doc:"How services are called, by the name of the one that is called; default is for those that have no settings of their own." reload:"true"`

	known names
}

// Validate reports names that the program does not have.
func (s policySettings) Validate() error { return errors.Join(s.Policies.unknown(s.known)...) }

// serviceSettings is what can be said of every service.
type serviceSettings struct {
	Policies targetPolicies `doc:"How this service calls others; as in [policies], which it wins over. Every service has this section." reload:"true"`

	known names
}

// Validate reports names that the program does not have.
func (s serviceSettings) Validate() error { return errors.Join(s.Policies.unknown(s.known)...) }

// targetPolicies are settings by the service that is called.
type targetPolicies map[string]targetPolicy

// targetPolicy is a part of the settings for calls of one service.
type targetPolicy struct {
	resilience.Config

	Endpoints map[string]endpointPolicy `config:"*" doc:"Calls of one endpoint of the service."`
}

// Validate looks at each setting by itself: the others may be elsewhere.
func (p targetPolicy) Validate() error { return p.ValidateFields() }

// endpointPolicy is a part of the settings for calls of one endpoint.
type endpointPolicy struct{ resilience.Config }

// Validate looks at each setting by itself: the others may be elsewhere.
func (p endpointPolicy) Validate() error { return p.ValidateFields() }

// at returns what is said under a name such as "user.get".
func (all targetPolicies) at(name string) resilience.Config {
	service, of, one := strings.Cut(name, ".")
	if one {
		return all[service].Endpoints[of].Config
	}
	return all[service].Config
}

// names returns every name under which something is said.
func (all targetPolicies) names() []string {
	var found []string
	for service, p := range all {
		found = append(found, service)
		for name := range p.Endpoints {
			found = append(found, service+"."+name)
		}
	}
	return found
}

// policiesOf returns the settings of a service's calls, complete by name.
func (c *configuration) policiesOf(service string, own map[string]resilience.Config) map[string]resilience.Config {
	special, general := c.services[service].Policies, c.Policies
	complete := make(map[string]resilience.Config)
	for _, name := range slices.Concat([]string{resilience.Default}, special.names(), general.names(), slices.Collect(maps.Keys(own))) {
		target, _, _ := strings.Cut(name, ".")
		var cfg resilience.Config
		for _, asked := range []string{name, target, resilience.Default} {
			cfg = cfg.Over(special.at(asked)).Over(general.at(asked)).Over(own[asked])
		}
		complete[name] = cfg
	}
	return complete
}

// endpointsOf returns the names of the endpoints that services may call, by service. All
// serve their health, and those with read models two endpoints for them.
func endpointsOf(p Program) map[string][]string {
	all := make(map[string][]string)
	for _, spec := range p.Endpoints {
		if all[spec.Service] == nil {
			all[spec.Service] = []string{
				endpoint.Health(spec.Service).Name, projection.ListMethod(spec.Service).Name, projection.RebuildMethod(spec.Service).Name,
			}
		}
		all[spec.Service] = append(all[spec.Service], spec.Name)
	}
	return all
}

// unknown reports targets and endpoints that the program does not have.
func (all targetPolicies) unknown(known names) []error {
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(all)) {
		endpoints, there := known.endpoints[service]
		if !there && service != resilience.Default {
			errs = append(errs, config.At(fmt.Errorf("there is no service %q to call; there are %s and %s",
				service, strings.Join(slices.Sorted(maps.Keys(known.endpoints)), ", "), resilience.Default), "policies", service))
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(all[service].Endpoints)) {
			if !slices.Contains(endpoints, name) {
				errs = append(errs, config.At(fmt.Errorf("there is no setting and no endpoint %q", name), "policies", service, name))
			}
		}
	}
	return errs
}

// expectPolicies returns empty policies for the targets and endpoints whose settings
// environ has below a path.
func expectPolicies(environ []string, known names, path ...string) targetPolicies {
	mentioned := func(more ...string) bool {
		begin := config.Variable(prefix, append(slices.Concat(path, more), "")...)
		return slices.ContainsFunc(environ, func(pair string) bool { return strings.HasPrefix(pair, begin) })
	}
	found := make(targetPolicies)
	for _, service := range append(slices.Collect(maps.Keys(known.endpoints)), resilience.Default) {
		if !mentioned(service) {
			continue
		}
		p := targetPolicy{Endpoints: make(map[string]endpointPolicy)}
		for _, name := range known.endpoints[service] {
			if mentioned(service, name) {
				p.Endpoints[name] = endpointPolicy{}
			}
		}
		found[service] = p
	}
	return found
}
