package gateway

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"sluice/pkg/endpoint"
)

// A response whose schema has an integer member version has an ETag made of it, "5".
// Compressed, it is "5-gzip", since the bytes are others; both stand for the version.
//
// If-Match becomes the version that the command expects, and is answered by the service
// that knows the present one. If-None-Match is answered here.
const (
	headerETag        = "Etag"
	headerIfMatch     = "If-Match"
	headerIfNoneMatch = "If-None-Match"

	compressedSuffix = "-gzip"
)

var (
	tagPattern     = regexp.MustCompile(`^(W/)?"[\x21\x23-\x7e\x80-\xff]*"`)
	versionPattern = regexp.MustCompile(`^(?:W/)?"([1-9][0-9]{0,18})(?:-gzip)?"$`)
)

// conditions is what a request says of the version it is about.
type conditions struct {
	match     bool   // only this one:
	expected  uint64 // 0 is one that nothing has
	noneMatch []uint64
	anything  bool // of noneMatch
}

// conditions reads If-Match and If-None-Match.
func (r route) conditions(req *http.Request) (conditions, error) {
	var c conditions
	if err := r.readIfMatch(req, &c); err != nil {
		return c, err
	}
	values := req.Header.Values(headerIfNoneMatch)
	if len(values) == 0 {
		return c, nil
	}
	if !reads(req) {
		return c, invalid(headerIfNoneMatch, "is for GET and HEAD")
	}
	text := strings.Join(values, ",")
	if strings.TrimSpace(text) == "*" {
		c.anything = true
		return c, nil
	}
	tags, ok := entityTags(text)
	if !ok {
		return c, invalid(headerIfNoneMatch, `must be like "5"`)
	}
	for _, tag := range tags {
		if version := versionOf(tag); version > 0 {
			c.noneMatch = append(c.noneMatch, version)
		}
	}
	return c, nil
}

func (r route) readIfMatch(req *http.Request, c *conditions) error {
	values := req.Header.Values(headerIfMatch)
	if len(values) == 0 {
		return nil
	}
	if !r.versioned {
		return invalid(headerIfMatch, "can't be used here: what this answers has no version")
	}
	tags, ok := entityTags(strings.Join(values, ","))
	if !ok || len(tags) != 1 {
		return invalid(headerIfMatch, `must be one version like "5"`)
	}
	c.match = true
	if !strings.HasPrefix(tags[0], "W/") { // a weak one never matches
		c.expected = versionOf(tags[0])
	}
	if c.expected == 0 && !reads(req) {
		return stale()
	}
	return nil
}

// reads reports whether a request changes nothing.
func reads(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead
}

func stale() error { return endpoint.Stale("it has another version than the one in If-Match") }

// entityTags splits a list of entity tags, which may have commas in them.
func entityTags(list string) (tags []string, ok bool) {
	for rest := strings.Trim(list, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		tag := tagPattern.FindString(rest)
		if tag == "" {
			return nil, false
		}
		tags = append(tags, tag)
		rest = rest[len(tag):]
		if rest != "" && !strings.ContainsAny(rest[:1], " \t,") {
			return nil, false
		}
	}
	return tags, len(tags) > 0
}

// versionOf returns the version that a tag stands for, 0 when it is not one of ours.
func versionOf(tag string) uint64 {
	m := versionPattern.FindStringSubmatch(tag)
	if m == nil {
		return 0
	}
	version, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil {
		return 0
	}
	return version
}

// entityTag returns the tag of a version.
func entityTag(version uint64) string { return `"` + formatVersion(version) + `"` }

func formatVersion(version uint64) string { return strconv.FormatUint(version, 10) }

// responseVersion returns the version in a response, 0 when there is none.
func (r route) responseVersion(response []byte) uint64 {
	if !r.versioned {
		return 0
	}
	var body struct {
		Version uint64 `json:"version"`
	}
	if err := json.Unmarshal(response, &body); err != nil {
		return 0 // a service that breaks its own schema: there is no tag then
	}
	return body.Version
}
