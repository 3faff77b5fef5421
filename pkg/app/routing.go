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

// routing says which events groups react to.
type routing struct {
	Routing map[string]routeSettings `doc:"Which events a group reacts to, by its name. The others are as good as handled: what a route leaves out does not come later, when the route changes. Those that handle a group should all have the same route."`

	known names
}

func newRouting(known names) routing {
	r := routing{Routing: make(map[string]routeSettings, len(known.routes)), known: known}
	for name := range known.routes {
		r.Routing[name] = routeSettings{}
	}
	return r
}

// Validate reports routes of groups that have none, and subjects that a group is not
// routed.
func (r routing) Validate() error { return errors.Join(r.known.wrongRoutes(r.Routing)...) }

// routeSettings say which events a group reacts to.
type routeSettings struct {
	Subjects   []string           `doc:"Subjects of the events that are wanted, such as order.created.*; empty: all that the group may be routed."`
	Conditions []config.Condition `doc:"What must hold for an event to be handled, all of it: { data: \"total_amount.number\", greater: 100 } or { attribute: \"userid\", equals: \"…\" }, with equals, not_equals, contains, greater and less. A field that is missing does not match."`
}

// route returns the route of a group, or nil when it takes everything.
func (c *configuration) route(group string) *bus.Route {
	r := c.Routing[group]
	if len(r.Subjects)+len(r.Conditions) == 0 {
		return nil
	}
	filter, err := config.Compile(r.Conditions)
	if err != nil {
		panic("app: a route was not checked: " + err.Error())
	}
	route := &bus.Route{Subjects: r.Subjects, Filter: filter}
	for _, subject := range c.known.routes[group] {
		route.Types = append(route.Types, strings.TrimSuffix(subject, ".*"))
	}
	return route
}

// subjects returns the subjects of the groups that do not take everything.
func (c *configuration) subjects() map[string][]string {
	all := make(map[string][]string)
	for group, r := range c.Routing {
		if len(r.Subjects) > 0 {
			all[group] = r.Subjects
		}
	}
	return all
}

// wrongRoutes reports routes of groups that have none, and subjects that a group does not
// handle.
func (n names) wrongRoutes(routing map[string]routeSettings) []error {
	var errs []error
	for _, group := range slices.Sorted(maps.Keys(routing)) {
		routable, ok := n.routes[group]
		switch {
		case !slices.Contains(n.groups, group):
			errs = append(errs, config.At(fmt.Errorf("there is no group %q; those with routes are %s", group, n.routed()), "routing", group))
		case !ok:
			errs = append(errs, config.At(fmt.Errorf("the group %q takes everything, and has no route; those with routes are %s", group, n.routed()), "routing", group))
		default:
			for _, err := range wrongSubjects(routing[group].Subjects, routable) {
				errs = append(errs, config.At(err, "routing", group, "subjects"))
			}
		}
	}
	return errs
}

func (n names) routed() string { return strings.Join(slices.Sorted(maps.Keys(n.routes)), ", ") }

func wrongSubjects(subjects, routable []string) []error {
	var errs []error
	for i, s := range subjects {
		if !slices.ContainsFunc(routable, func(wide string) bool { return covers(wide, s) }) {
			errs = append(errs, fmt.Errorf("%q is not a part of what the group may be routed: %s", s, strings.Join(routable, ", ")))
		}
		for _, other := range subjects[:i] {
			if covers(other, s) || covers(s, other) {
				errs = append(errs, fmt.Errorf("%q and %q have subjects in common", other, s))
			}
		}
	}
	return errs
}

// covers tells whether every subject that narrow matches is one that wide matches. Both
// have three tokens or match nothing that is an event.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	if len(w) != len(n) {
		return false
	}
	for i := range w {
		if n[i] == "" || strings.ContainsAny(n[i], "> \t\r\n") || len(n[i]) > 1 && strings.Contains(n[i], "*") {
			return false
		}
		if w[i] != "*" && w[i] != n[i] {
			return false
		}
	}
	return true
}
