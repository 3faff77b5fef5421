package event

import (
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Validate checks what CloudEvents 1.0 requires of attributes, sections 2.1 and 3.1
// of the specification: the required ones are there, strings hold no control
// characters, source and dataschema are URI references. What it accepts can be
// written and read back in every format, except that the JSON format needs a
// dataschema with a scheme.
func (e Event) Validate() error {
	for _, a := range []struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type},
	} {
		if strings.TrimSpace(a.value) == "" {
			return fmt.Errorf("%w: attribute %s is missing", ErrInvalid, a.name)
		}
	}
	for _, a := range []struct{ name, value string }{
		{"id", e.ID},
		{"source", e.Source},
		{"type", e.Type},
		{"subject", e.Subject},
		{"dataschema", e.DataSchema},
		{"datacontenttype", e.DataContentType},
		{"correlationid", e.CorrelationID},
		{"causationid", e.CausationID},
		{"userid", e.UserID},
		{"fingerprint", e.Fingerprint},
		{headerTraceParent, e.TraceParent},
		{headerTraceState, e.TraceState},
	} {
		if err := checkString(a.name, a.value); err != nil {
			return err
		}
	}
	if e.Subject != "" && strings.TrimSpace(e.Subject) == "" {
		return fmt.Errorf("%w: attribute subject is blank", ErrInvalid)
	}
	if err := checkURI("source", e.Source); err != nil {
		return err
	}
	if err := checkURI("dataschema", e.DataSchema); err != nil {
		return err
	}
	if err := checkContentType(e.DataContentType); err != nil {
		return err
	}
	if year := e.Time.UTC().Year(); year < 0 || year > 9999 {
		return fmt.Errorf("%w: attribute time is in the year %d, which RFC 3339 cannot say", ErrInvalid, year)
	}
	for name, value := range e.Extensions {
		if !validAttributeName(name) || slices.Contains(attributeNames, name) {
			return fmt.Errorf("%w: extension name %q is not [a-z0-9]+, or is an attribute's", ErrInvalid, clip(name))
		}
		if err := checkString(name, value); err != nil {
			return err
		}
	}
	return nil
}

// attributeNames are those with a place of their own in an [Event].
var attributeNames = []string{
	"specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype",
	"correlationid", "causationid", "userid", "fingerprint", "aggregateversion", "previous", "step",
	headerTraceParent, headerTraceState, "position",
}

// checkURI accepts what the official SDK accepts.
func checkURI(name, value string) error {
	if value == "" || isPlainPath(strings.TrimPrefix(value, schemaScheme)) {
		return nil
	}
	if u, err := url.Parse(value); err != nil || strings.TrimSpace(u.String()) == "" {
		return fmt.Errorf("%w: attribute %s is not a URI reference", ErrInvalid, name)
	}
	return nil
}

// isPlainPath is quick to see that our own sources and schemas are URIs.
func isPlainPath(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '/' && c != '.' && c != '-' {
			return false
		}
	}
	return s != "" && s[0] == '/' && !strings.HasPrefix(s, "//")
}

// checkContentType accepts media types, but not that of a CloudEvent: in binary mode
// it would say that the body is one.
func checkContentType(contentType string) error {
	if contentType == "" || contentType == ContentType {
		return nil
	}
	if _, _, err := mime.ParseMediaType(contentType); err != nil || isStructured(contentType) {
		return fmt.Errorf("%w: attribute datacontenttype %q is not the media type of data", ErrInvalid, clip(contentType))
	}
	return nil
}

// validAttributeName follows CloudEvents 1.0, section 3.1: lower-case letters and
// digits.
func validAttributeName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && name != "data"
}

// checkString follows CloudEvents 1.0, section 2.1: Unicode without control
// characters, surrogates or noncharacters.
func checkString(name, value string) error {
	if isPlain(value) {
		return nil
	}
	for i, r := range value {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(value[i:]); size == 1 {
				return fmt.Errorf("%w: attribute %s is not UTF-8", ErrInvalid, name)
			}
		}
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef {
			return fmt.Errorf("%w: attribute %s has the forbidden character %U", ErrInvalid, name, r)
		}
	}
	return nil
}

// isPlain reports whether s is printable ASCII.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
