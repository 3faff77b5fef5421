package resilience

import "maps"

// Update changes the settings of all policies for the calls that begin afterwards; those
// under way end by the settings they began with. What a policy knows survives where its
// settings are the same: the state of its breaker, the places of its bulkhead, the tokens
// of its rate limit, the budget of its repeats. Otherwise it begins anew, so for a moment
// more calls may be under way than either bulkhead allows. Counts go on. The error names
// all that is wrong, and then nothing has changed.
func (s *Set) Update(configs map[string]Config) error {
	if err := check(configs); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configs = maps.Clone(configs)
	before := s.named
	s.named = make(map[string]*Policy, len(before))
	for asked := range s.policies {
		name, cfg := s.settings(asked.service, asked.endpoint)
		p := s.named[name]
		if p == nil {
			p = s.successor(before[name], name, cfg)
			s.named[name] = p
		}
		s.policies[asked] = p
	}
	return nil
}

// successor returns the policy that comes after p, which is nil when there was none.
func (s *Set) successor(p *Policy, name string, cfg Config) *Policy {
	next := newPolicy(name, cfg, s.hooks)
	if p == nil {
		return next
	}
	if next.cfg == p.cfg {
		return p
	}
	next.counts = p.counts
	is, was := next.cfg, p.cfg
	is.Breaker.Patience, was.Breaker.Patience = 0, 0 // is no matter of the breaker's own
	if is.Breaker == was.Breaker {
		next.breaker = p.breaker
	} else if next.breaker != nil && p.breaker != nil {
		next.breaker.became = p.breaker.changes()
	}
	if is.Bulkhead.Limit == was.Bulkhead.Limit {
		next.places = p.places
	}
	if is.RateLimit == was.RateLimit {
		next.tokens = p.tokens
	}
	if is.Retry.Budget == was.Retry.Budget && is.Retry.Reserve == was.Retry.Reserve {
		next.budget = p.budget
	}
	return next
}

// changes returns how often each state came about.
func (b *breaker) changes() [states]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.became
}
