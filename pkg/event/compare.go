package event

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Change is one difference between a schema and an earlier one.
type Change struct {
	Member string // "items[].price"; empty for the data as a whole
	Kind   ChangeKind
	Detail string // such as "was string, is integer"; empty when Kind says it all
}

// String describes the change in words.
func (c Change) String() string {
	member := c.Member
	if member == "" {
		member = "the data"
	}
	if c.Detail == "" {
		return member + " " + string(c.Kind)
	}
	return member + " " + string(c.Kind) + " (" + c.Detail + ")"
}

// ChangeKind says what happened to a member of a schema.
type ChangeKind string

// The kinds of change.
const (
	MemberAdded     ChangeKind = "was added"          // and is optional: older data lacks it
	MemberWidened   ChangeKind = "allows more"        // all it allowed before, too
	MemberWithdrawn ChangeKind = "was withdrawn"      // an optional one, which a release before it was added lacks too
	MemberRemoved   ChangeKind = "was removed"        // one that all data has
	MemberRequired  ChangeKind = "is required now"    // and older data may lack it
	MemberRetyped   ChangeKind = "is of another type" // older data may not fit
	EnumNarrowed    ChangeKind = "allows fewer values"
)

// Breaking reports whether older data may not be read, or only in part.
func (k ChangeKind) Breaking() bool { return k != MemberAdded && k != MemberWidened }

// CompareSchemas returns what after changes about before, members in order of their
// names. It knows the keywords that [SchemaOf] uses; any other keyword that differs
// counts as another type, and words for people (title, description) count for nothing.
func CompareSchemas(before, after jsontext.Value) ([]Change, error) {
	var was, is any
	if err := json.Unmarshal(before, &was); err != nil {
		return nil, fmt.Errorf("earlier schema: %w", err)
	}
	if err := json.Unmarshal(after, &is); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return compare("", keywords(was), keywords(is)), nil
}

// keywords returns a schema as an object: the absent one and true allow everything,
// false allows nothing.
func keywords(schema any) map[string]any {
	if object, ok := schema.(map[string]any); ok {
		return object
	}
	if schema == false {
		return map[string]any{"not": map[string]any{}}
	}
	return nil
}

// compare compares the schemas of one member.
func compare(member string, was, is map[string]any) []Change {
	switch {
	case reflect.DeepEqual(was, is), len(was) == 0 && len(is) == 0:
		return nil
	case len(is) == 0, reflect.DeepEqual(was, keywords(false)):
		return []Change{{Member: member, Kind: MemberWidened}}
	case reflect.DeepEqual(is, keywords(false)):
		return []Change{{Member: member, Kind: MemberRetyped, Detail: "allows nothing now"}}
	case len(was) == 0:
		return []Change{{Member: member, Kind: MemberRetyped, Detail: "could be anything"}}
	}
	changes := compareTypes(member, was["type"], is["type"])
	if slices.ContainsFunc(changes, func(c Change) bool { return c.Kind.Breaking() }) {
		return changes
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, keyword := range slices.Sorted(maps.Keys(all)) {
		old, now := was[keyword], is[keyword]
		switch keyword {
		case "title", "description":
		case "type", "properties", "required": // elsewhere
		case "enum":
			changes = append(changes, compareEnums(member, old, now)...)
		case "items":
			changes = append(changes, compare(member+"[]", keywords(old), keywords(now))...)
		case "additionalProperties":
			changes = append(changes, compare(strings.TrimPrefix(member+".*", "."), keywords(old), keywords(now))...)
		default:
			if !reflect.DeepEqual(old, now) {
				changes = append(changes, Change{Member: member, Kind: MemberRetyped, Detail: keyword + " differs"})
			}
		}
	}
	return append(changes, compareMembers(member, was, is)...)
}

// compareMembers compares the members of an object.
func compareMembers(object string, was, is map[string]any) []Change {
	old, now := keywords(was["properties"]), keywords(is["properties"])
	demanded, demands := list(was["required"]), list(is["required"])
	all := maps.Clone(old)
	if all == nil {
		all = make(map[string]any, len(now))
	}
	maps.Copy(all, now)
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, was := old[name]
		after, is := now[name]
		wasRequired, isRequired := slices.Contains(demanded, any(name)), slices.Contains(demands, any(name))
		member := strings.TrimPrefix(object+"."+name, ".")
		switch {
		case !is && wasRequired:
			changes = append(changes, Change{Member: member, Kind: MemberRemoved})
			continue
		case !is:
			changes = append(changes, Change{Member: member, Kind: MemberWithdrawn})
			continue
		case isRequired && !wasRequired:
			changes = append(changes, Change{Member: member, Kind: MemberRequired})
		case !was:
			changes = append(changes, Change{Member: member, Kind: MemberAdded})
		case wasRequired && !isRequired:
			changes = append(changes, Change{Member: member, Kind: MemberWidened, Detail: "is optional now"})
		}
		if was {
			changes = append(changes, compare(member, keywords(before), keywords(after))...)
		}
	}
	return changes
}

func compareTypes(member string, was, is any) []Change {
	old, now := list(was), list(is)
	switch {
	case len(old) == len(now) && containsAll(now, old):
		return nil
	case len(now) == 0, len(old) > 0 && containsAll(now, old):
		return []Change{{Member: member, Kind: MemberWidened}}
	}
	return []Change{{Member: member, Kind: MemberRetyped, Detail: fmt.Sprintf("was %s, is %s", words(old), words(now))}}
}

func compareEnums(member string, was, is any) []Change {
	old, now := list(was), list(is)
	switch {
	case len(old) == len(now) && containsAll(now, old):
		return nil
	case is == nil, was != nil && containsAll(now, old):
		return []Change{{Member: member, Kind: MemberWidened}}
	}
	return []Change{{Member: member, Kind: EnumNarrowed, Detail: "to " + words(now)}}
}

// list returns a keyword's values; a single one may stand alone.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func containsAll(list, wanted []any) bool {
	for _, w := range wanted {
		if !slices.ContainsFunc(list, func(v any) bool { return reflect.DeepEqual(v, w) }) {
			return false
		}
	}
	return true
}

func words(values []any) string {
	if len(values) == 0 {
		return "anything"
	}
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, " or ")
}
