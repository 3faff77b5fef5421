package streams

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"
)

// settings is a configuration by the names it has in JSON. Both sides of a
// comparison are written by the same encoder, so equal settings have equal bytes.
type settings map[string]jsontext.Value

// A rule says what the server shall have where its setting differs from the file:
// the file's value, its own, or something made of both. ok is false where going
// from one to the other could lose something.
type rule func(is, want jsontext.Value) (next jsontext.Value, ok bool)

// streamRules lists the settings of a stream that may differ or change. A setting
// that is not here must be equal.
var streamRules = map[string]rule{
	"description":          follow,
	"republish":            follow,
	"metadata":             merge,
	"subjects":             extend,
	"max_msgs":             raise(-1),
	"max_bytes":            raise(-1),
	"max_msgs_per_subject": raise(-1),
	"max_msg_size":         raise(-1),
	"max_consumers":        raise(-1),
	"max_age":              raise(0),
	"duplicate_window":     raise(0),
	"allow_direct":         follow,
	"allow_atomic":         switchOn,
	"allow_batched":        switchOn,
	"num_replicas":         atLeast,
	"placement":            leave,
}

// consumerRules does the same for a consumer: what keeps its position may change.
// A new filter holds from the position on; older messages that it would have
// matched are not delivered.
var consumerRules = map[string]rule{
	"description":     follow,
	"metadata":        merge,
	"filter_subjects": follow,
	"ack_wait":        follow,
	"max_ack_pending": follow,
	"num_replicas":    atLeast,
	"pause_until":     leave,

	// One client of several at a time: a consumer may begin to, and its order with it.
	"priority_policy":  pin,
	"priority_groups":  follow,
	"priority_timeout": follow,
}

// follow takes the file's value, whatever it is.
func follow(_, want jsontext.Value) (jsontext.Value, bool) { return want, true }

// leave keeps what an operator has set.
func leave(is, _ jsontext.Value) (jsontext.Value, bool) { return is, true }

// atLeast keeps what an operator has raised, for replicas above all.
func atLeast(is, want jsontext.Value) (jsontext.Value, bool) {
	if value[int64](is) >= value[int64](want) {
		return is, true
	}
	return want, true
}

// pin lets a consumer that all clients share become one that is pinned to one of them.
func pin(is, want jsontext.Value) (jsontext.Value, bool) {
	shared := value[string](is) == "" || value[string](is) == "none"
	return want, shared && value[string](want) == "pinned_client"
}

func switchOn(_, want jsontext.Value) (jsontext.Value, bool) { return want, value[bool](want) }

// raise allows a limit to grow, or to go away, but not to shrink.
func raise(unlimited int64) rule {
	return func(is, want jsontext.Value) (jsontext.Value, bool) {
		old, next := value[int64](is), value[int64](want)
		return want, next == unlimited || old != unlimited && next >= old
	}
}

// extend allows more subjects; one that is taken away would leave its publishers
// without an answer.
func extend(is, want jsontext.Value) (jsontext.Value, bool) {
	old, next := value[[]string](is), value[[]string](want)
	for _, subject := range old {
		if !slices.Contains(next, subject) {
			return nil, false
		}
	}
	if len(old) == len(next) {
		return is, true // in another order
	}
	return want, true
}

// merge adds the file's keys to those of the server and of operators.
func merge(is, want jsontext.Value) (jsontext.Value, bool) {
	all := value[map[string]string](is)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, value[map[string]string](want))
	if len(all) == 0 {
		return is, true
	}
	merged, err := json.Marshal(all, wire)
	return merged, err == nil
}

// value decodes a setting; an absent one is the zero value. The encoder has just
// written it, so it cannot be of another type.
func value[T any](v jsontext.Value) T {
	var decoded T
	if len(v) == 0 {
		return decoded
	}
	if err := json.Unmarshal(v, &decoded, wire); err != nil {
		panic(fmt.Sprintf("streams: setting %s is not a %T", v, decoded))
	}
	return decoded
}

// change is one setting on its way from what the server has to what it shall have.
type change struct {
	setting  string
	from, to jsontext.Value
}

// compare returns the changes that bring is in line with want, and those that the
// rules refuse.
func compare(is, want settings, rules map[string]rule) (changes, refused []change) {
	names := make([]string, 0, len(want))
	for name := range is {
		names = append(names, name)
	}
	for name := range want {
		if _, known := is[name]; !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		from, to := is[name], want[name]
		if bytes.Equal(from, to) {
			continue
		}
		next, ok := jsontext.Value(nil), false
		if rule, listed := rules[name]; listed {
			next, ok = rule(from, to)
		}
		switch {
		case !ok:
			refused = append(refused, change{name, from, to})
		case !bytes.Equal(from, next):
			changes = append(changes, change{name, from, next})
		}
	}
	return changes, refused
}

func settingsOf(config any) (settings, error) {
	content, err := json.Marshal(config, wire)
	if err != nil {
		return nil, fmt.Errorf("encode a configuration: %w", err)
	}
	var s settings
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("take a configuration apart: %w", err)
	}
	return s, nil
}

// apply makes the changes and decodes the outcome into a configuration.
func (s settings) apply(changes []change, into any) error {
	for _, c := range changes {
		if len(c.to) == 0 {
			delete(s, c.setting)
			continue
		}
		s[c.setting] = c.to
	}
	content, err := json.Marshal(s, wire)
	if err != nil {
		return fmt.Errorf("put a configuration together: %w", err)
	}
	if err := json.Unmarshal(content, into, wire); err != nil {
		return fmt.Errorf("put a configuration together: %w", err)
	}
	return nil
}

// oneFilterForm moves a single filter to the list, so that the two spellings of the
// same filter are equal, and sorts it.
func oneFilterForm(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	if c.FilterSubject != "" {
		c.FilterSubjects = []string{c.FilterSubject}
		c.FilterSubject = ""
	}
	c.FilterSubjects = slices.Sorted(slices.Values(c.FilterSubjects))
	return c
}

// shortFilterForm is how the files spell a single filter.
func shortFilterForm(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	if len(c.FilterSubjects) == 1 {
		c.FilterSubject, c.FilterSubjects = c.FilterSubjects[0], nil
	}
	return c
}
