package streams

import "slices"

// Routes returns what the configuration may keep from a group of handlers, by the group's
// name, as the filters of its consumer have it. All else a group sees always: a guard
// everything, since a message that it does not see is one that nobody judges; an intake
// everything, since whoever publishes there is promised an event or a dead letter; who
// deletes what there is of erased users each erasure; and timers whatever sets and unsets
// them.
func Routes() map[string][]string {
	return map[string][]string{
		NotificationUsers.Name:  {"user.created.*"},
		NotificationOrders.Name: {"order.created.*"},
	}
}

// Routed returns the set with consumers that filter on other subjects in place of those in
// [Routes], by group. They are parts of those, and have no subjects in common.
//
// A new filter holds from the consumer's position on. What an earlier one left out does
// not come later; of what it had delivered and nobody has handled yet, nothing is lost.
func (s Set) Routed(subjects map[string][]string) Set {
	routes := Routes()
	consumers := slices.Clone(s.Consumers)
	for i, c := range consumers {
		chosen := subjects[c.Config.Durable]
		if len(chosen) == 0 {
			continue
		}
		config := oneFilterForm(c.Config)
		config.FilterSubjects = slices.DeleteFunc(config.FilterSubjects, func(subject string) bool {
			return slices.Contains(routes[c.Config.Durable], subject)
		})
		config.FilterSubjects = append(config.FilterSubjects, chosen...)
		consumers[i].Config = shortFilterForm(config)
	}
	return Set{Streams: s.Streams, Foreign: s.Foreign, Consumers: consumers}
}
