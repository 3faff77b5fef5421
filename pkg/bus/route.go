package bus

import (
	"maps"
	"slices"

	"sluice/pkg/config"
	"sluice/pkg/event"
)

// Route says which events of some types a group is to handle; the others count as handled
// without having been. What was left out does not come later: a route that changes changes
// what happens to the messages behind the group's position. The letters that are redriven
// are not asked about, since somebody wants them handled.
type Route struct {
	// Types are the event types that are routed. All others that the group handles come
	// always.
	Types []string
	// Subjects are what the consumer filters on in place of <type>.* for Types. Empty: it
	// does filter on that.
	Subjects []string
	// Filter tells which of the events of Types are handled. It looks at them as
	// [Config.Read] returns them, in their latest version.
	Filter config.Filter
}

// filters returns what the consumer of handlers of these types has to filter on, sorted.
func (r *Route) filters(types []string) []string {
	var all []string
	for _, t := range types {
		if r == nil || len(r.Subjects) == 0 || !slices.Contains(r.Types, t) {
			all = append(all, t+".*")
		}
	}
	if r != nil {
		all = append(all, r.Subjects...)
	}
	return slices.Sorted(slices.Values(all))
}

// wants tells whether the group is to handle an event.
func (r *Route) wants(e *event.Event) bool {
	return r == nil || !slices.Contains(r.Types, e.Type) || r.Filter.Match(e.Attribute, e.Data)
}

// types returns the event types that are handled, sorted.
func (h handlers) types() []string { return slices.Sorted(maps.Keys(h.byType)) }
