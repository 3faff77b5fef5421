package app

import (
	"context"
	"errors"

	"sluice/pkg/bus"
	"sluice/pkg/config"
	"sluice/pkg/resilience"
)

// policed is a set of policies with what its service says of them.
type policed struct {
	set *resilience.Set
	own map[string]resilience.Config
}

// configured returns the configuration as it is now.
func (s *supervisor) configured() *configuration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (one *service) policed(p policed) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.sets = append(one.sets, p)
}

func (one *service) onReload(f func(*configuration)) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.reloads = append(one.reloads, f)
}

// reload reads the configuration again and applies what may change while the program
// runs: all of it, or nothing when something is wrong with it.
func (s *supervisor) reload(ctx context.Context) {
	next, err := s.program.reload(s.options.from)
	if err == nil {
		err = s.checkPolicies(&next)
	}
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	before := s.configured()
	changes := config.Diff(before.loaded, next.loaded).Reloadable()
	s.mu.Lock()
	s.current = &next
	services := s.services
	s.mu.Unlock()
	if err := s.levels.Set(next.Log.Level); err != nil {
		s.log.ErrorContext(ctx, "log levels stay as they are", "error", err) // they were valid when they were loaded
	}
	for _, one := range services {
		one.follow(&next)
	}
	for _, c := range changes {
		s.log.InfoContext(ctx, "setting changed", "setting", c.Path, "from", c.Before, "to", c.After, "origin", c.Origin.String())
	}
	for _, c := range config.Diff(s.options.loaded, next.loaded).NeedRestart() {
		s.log.WarnContext(ctx, "setting needs a restart", "setting", c.Path, "from", c.Before, "to", c.After, "origin", c.Origin.String())
	}
	s.log.InfoContext(ctx, "configuration reloaded", "changed", len(changes))
}

// reload is load for a program that runs: there may be a file now where none was.
func (p Program) reload(from config.Sources) (_ configuration, err error) {
	if from.Path == "" {
		if from.Path, err = config.Find("", p.getenv); err != nil {
			return configuration{}, err
		}
	}
	return p.load(from)
}

// refuse logs everything that is wrong.
func (s *supervisor) refuse(ctx context.Context, err error) {
	problems := []string{oneLine(err)}
	if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
		problems = problems[:0]
		for _, p := range invalid.Problems {
			problems = append(problems, p.String())
		}
	}
	for _, p := range problems {
		s.log.ErrorContext(ctx, "configuration not reloaded", "problem", p)
	}
}

// checkPolicies tells whether every set of policies takes its new settings.
func (s *supervisor) checkPolicies(next *configuration) error {
	var errs []error
	for _, one := range s.all() {
		for _, p := range one.policies() {
			_, err := resilience.NewSet(next.policiesOf(one.name, p.own), resilience.Hooks{})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *supervisor) all() []*service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services
}

func (one *service) policies() []policed {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.sets
}

// follow applies the configuration to all that the service runs.
func (one *service) follow(next *configuration) {
	one.mu.Lock()
	parts, sets, reloads := one.parts, one.sets, one.reloads
	one.mu.Unlock()
	log := one.supervisor.log.With("service", one.name)
	for _, p := range sets {
		if err := p.set.Update(next.policiesOf(one.name, p.own)); err != nil {
			log.Error("policies stay as they are", "error", err) // they were checked before
		}
	}
	for _, part := range parts {
		consumer, ok := part.(*bus.Consumer)
		if !ok {
			continue
		}
		if g, configured := next.Groups[consumer.Group()]; configured {
			if err := consumer.Tune(g); err != nil {
				log.Error("a group stays as it is", "group", g.Name, "error", err) // it was checked before
			}
		}
	}
	for _, f := range reloads {
		f(next)
	}
}
