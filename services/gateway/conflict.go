package gateway

import "strings"

// pattern is a method and a path with parameters, split up.
type pattern struct {
	verb     string
	segments []string
}

// newPattern splits "GET /v1/orders/{id}"; without a method it stands for all.
func newPattern(s string) pattern {
	verb, path, ok := strings.Cut(s, " ")
	if !ok {
		verb, path = "", s
	}
	return pattern{verb, strings.Split(strings.TrimPrefix(path, "/"), "/")}
}

// String returns what the pattern was made from.
func (p pattern) String() string { return p.verb + " /" + strings.Join(p.segments, "/") }

func isParameter(segment string) bool { return strings.HasPrefix(segment, "{") }

// overlaps reports whether there is a request that fits both.
func (p pattern) overlaps(q pattern) bool {
	if p.verb != q.verb && p.verb != "" && q.verb != "" || len(p.segments) != len(q.segments) {
		return false
	}
	for i, segment := range p.segments {
		if other := q.segments[i]; segment != other && !isParameter(segment) && !isParameter(other) {
			return false
		}
	}
	return true
}

// refines reports whether every request that fits p fits q too, and not the other way
// round. Then it is clear which of the two is meant.
func (p pattern) refines(q pattern) bool {
	fewer := false
	for i, segment := range p.segments {
		switch {
		case isParameter(segment) && !isParameter(q.segments[i]):
			return false
		case !isParameter(segment) && isParameter(q.segments[i]):
			fewer = true
		}
	}
	return fewer
}

// fits reports whether the path of a request does, whatever its method.
func (p pattern) fits(path string) bool {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(segments) != len(p.segments) {
		return false
	}
	for i, segment := range p.segments {
		if !isParameter(segment) && segment != segments[i] {
			return false
		}
	}
	return true
}
