package resilience

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
)

// Default is the name of the settings for targets that have none of their own.
const Default = "default"

var namePattern = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)?$`)

// Set holds the policies of a program. It is safe for concurrent use.
type Set struct {
	hooks Hooks

	mu       sync.RWMutex
	configs  map[string]Config
	policies map[target]*Policy // by what was asked for
	named    map[string]*Policy // the same, each once
}

// target is what a policy is looked up by.
type target struct{ service, endpoint string }

// NewSet returns a set over the settings of services ("user"), single endpoints
// ("user.get") and [Default], which without an entry has the defaults of [Config].
// The error names all that is wrong in all of them.
func NewSet(configs map[string]Config, hooks Hooks) (*Set, error) {
	if err := check(configs); err != nil {
		return nil, err
	}
	return &Set{
		configs: maps.Clone(configs), hooks: hooks,
		policies: make(map[target]*Policy), named: make(map[string]*Policy),
	}, nil
}

// check returns all that is wrong with the settings of a set.
func check(configs map[string]Config) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if !namePattern.MatchString(name) {
			errs = append(errs, fmt.Errorf("policy %q: the name is not like \"user\" or \"user.get\"", name))
		}
		if err := configs[name].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("policy %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// For returns the policy of an endpoint: one of its own where it has settings of its
// own, else that of its service, which all other endpoints of the service share. It
// is made when it is first asked for and kept until [Set.Update] replaces it, so ask it anew
// for each call, and ask for targets that the program
// knows and not for names that came from outside.
func (s *Set) For(service, endpoint string) *Policy {
	asked := target{service, endpoint}
	s.mu.RLock()
	p := s.policies[asked]
	s.mu.RUnlock()
	if p != nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name, cfg := s.settings(service, endpoint)
	if p = s.named[name]; p == nil {
		p = newPolicy(name, cfg, s.hooks)
		s.named[name] = p
	}
	s.policies[asked] = p
	return p
}

// settings returns the name of the policy for an endpoint, and what it is made from.
func (s *Set) settings(service, endpoint string) (string, Config) {
	own := service + "." + endpoint
	if cfg, ok := s.configs[own]; ok {
		return own, cfg
	}
	if cfg, ok := s.configs[service]; ok {
		return service, cfg
	}
	return service, s.configs[Default]
}

// Snapshot returns every policy that was asked for so far, sorted by name.
func (s *Set) Snapshot() []Snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Snapshot, 0, len(s.named))
	for _, p := range s.named {
		all = append(all, p.Snapshot())
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Compare(a.Policy, b.Policy) })
	return all
}
