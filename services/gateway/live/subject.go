package live

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
)

const (
	maxSubjects = 20

	subjectParameter  = "subject"
	positionParameter = "last_event_id"
	headerLastEventID = "Last-Event-ID"
)

// request is what somebody asks GET /v1/events for.
type request struct {
	wanted selection
	after  positions // nil: from now on
}

// selection says what of which entities is asked for.
type selection map[string][]pattern

// pattern is what a subject says after its entity: "created" or "*", an id or "*".
type pattern struct{ kind, id string }

const anything = "*"

func (p pattern) matches(kind, id string) bool {
	return (p.kind == anything || p.kind == kind) && (p.id == anything || p.id == id)
}

func matchesAny(patterns []pattern, e entry) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool { return p.matches(e.kind, e.id) })
}

// ids returns the aggregates that patterns name, or ok = false when they name all.
func ids(patterns []pattern) (named []string, ok bool) {
	for _, p := range patterns {
		if p.id == anything {
			return nil, false
		}
		if !slices.Contains(named, p.id) {
			named = append(named, p.id)
		}
	}
	return named, true
}

func (s selection) entities() []string { return slices.Sorted(maps.Keys(s)) }

// parse reads the query and Last-Event-ID.
func (h *Handler) parse(req *http.Request) (request, error) {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return request{}, endpoint.Invalid("the query can't be read")
	}
	for name := range query {
		if name != subjectParameter && name != positionParameter {
			return request{}, invalid(clip(name), "is not a parameter of this request")
		}
	}
	wanted, err := h.selection(query[subjectParameter])
	if err != nil {
		return request{}, err
	}
	after, field := query[positionParameter], positionParameter
	if header := req.Header.Values(headerLastEventID); req.Header.Get(headerLastEventID) != "" {
		after, field = header, headerLastEventID // which is newer: browsers keep the query when they come back
	}
	if len(after) > 1 {
		return request{}, invalid(field, "is there twice")
	}
	if len(after) == 0 || after[0] == "" {
		return request{wanted: wanted}, nil
	}
	at, err := parsePositions(after[0])
	if err != nil {
		return request{}, invalid(field, err.Error())
	}
	for _, stream := range slices.Sorted(maps.Keys(at)) {
		if !slices.ContainsFunc(wanted.entities(), func(entity string) bool { return h.histories[entity].Stream.Name == stream }) {
			return request{}, invalid(field, "names a stream that is not asked for")
		}
	}
	return request{wanted: wanted, after: at}, nil
}

func (h *Handler) selection(subjects []string) (selection, error) {
	if len(subjects) == 0 || len(subjects) > maxSubjects {
		return nil, invalid(subjectParameter, "must be there once to 20 times: "+h.allowed())
	}
	wanted := make(selection)
	for _, s := range subjects {
		entity, p, ok := parseSubject(s)
		if !ok || h.histories[entity] == nil {
			return nil, invalid(subjectParameter, "must be "+h.allowed())
		}
		wanted[entity] = append(wanted[entity], p)
	}
	return wanted, nil
}

// allowed says what a subject may be.
func (h *Handler) allowed() string {
	return "<entity>.<event or *>.<id or *>, such as order.*.*, where the entity is one of " +
		strings.Join(slices.Sorted(maps.Keys(h.histories)), ", ")
}

var eventPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// parseSubject reads three tokens. Claims have four, and are nobody's business.
func parseSubject(s string) (entity string, p pattern, ok bool) {
	tokens := strings.Split(s, ".")
	if len(tokens) != 3 {
		return "", pattern{}, false
	}
	entity, p = tokens[0], pattern{kind: tokens[1], id: tokens[2]}
	ok = eventPattern.MatchString(entity) &&
		(p.kind == anything || p.kind != "claim" && eventPattern.MatchString(p.kind)) &&
		(p.id == anything || event.CheckID(p.id) == nil)
	return entity, p, ok
}

func invalid(field, message string) error {
	return endpoint.Invalid("the request is not valid", endpoint.FieldError{Field: field, Message: message})
}

// clip keeps a name that the client chose from filling the answer.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
