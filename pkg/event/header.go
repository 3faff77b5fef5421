package event

import (
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

const (
	structuredContentType = "application/cloudevents+json"
	headerContentType     = "content-type"
	headerTraceParent     = "traceparent"
	headerTraceState      = "tracestate"
	attributePrefix       = "ce-"
	specVersion           = "1.0"
)

// Encode returns e in the binary mode of the CloudEvents NATS protocol binding:
// ce- headers with percent-encoded values, and the data alone as the body. Header
// names are lower case. It does not validate: [Event.Validate] does.
func Encode(e Event) (nats.Header, []byte) {
	h := make(nats.Header, 20)
	values := make([]string, 0, 20)
	set := func(name, value string) {
		if value == "" {
			return
		}
		values = append(values, percentEncode(value))
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("ce-specversion", specVersion)
	set("ce-id", e.ID)
	set("ce-source", e.Source)
	set("ce-type", e.Type)
	set("ce-subject", e.Subject)
	if !e.Time.IsZero() {
		set("ce-time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	set("ce-dataschema", e.DataSchema)
	set("ce-correlationid", e.CorrelationID)
	set("ce-causationid", e.CausationID)
	set("ce-userid", e.UserID)
	set("ce-fingerprint", e.Fingerprint)
	if e.Version > 0 {
		set("ce-aggregateversion", strconv.FormatUint(e.Version, 10))
	}
	set("ce-previous", joinSequences(e.Previous))
	if e.Step > 0 {
		set("ce-step", strconv.Itoa(e.Step))
	}
	for name, value := range e.Extensions {
		set(attributePrefix+name, value)
	}
	set(headerTraceParent, e.TraceParent)
	set(headerTraceState, e.TraceState)
	contentType := e.DataContentType
	if contentType == "" {
		contentType = ContentType
	}
	h[headerContentType] = []string{contentType}
	return h, e.Data
}

// Decode reads an event in binary mode (ce- headers, names in any case) or in
// structured mode (content type application/cloudevents+json, or no CloudEvents
// header at all and a JSON object as the body, as `nats pub` sends it). Every error
// wraps [ErrInvalid]. Data is not copied.
func Decode(header nats.Header, body []byte) (Event, error) {
	var (
		e        Event
		contents string
		binary   bool
		spec     string
		parent   string // of the plain header, which counts before ce-traceparent
		state    string
		seen     = make(map[string]struct{}, len(header))
	)
	for key, values := range header {
		name := strings.ToLower(key)
		attribute, isAttribute := strings.CutPrefix(name, attributePrefix)
		if !isAttribute && name != headerContentType && name != headerTraceParent && name != headerTraceState {
			continue
		}
		if _, twice := seen[name]; twice || len(values) != 1 {
			return Event{}, fmt.Errorf("%w: header %q is not there exactly once", ErrInvalid, clip(name))
		}
		seen[name] = struct{}{}
		value := values[0]
		if name == headerContentType {
			contents = value
			continue
		}
		value = percentDecode(value)
		if attribute == "specversion" {
			spec, binary = value, true
			continue
		}
		if !isAttribute {
			if name == headerTraceParent {
				parent = value
			} else {
				state = value
			}
			continue
		}
		binary = true
		if err := e.setAttribute(attribute, value); err != nil {
			return Event{}, err
		}
	}
	if parent != "" {
		e.TraceParent, e.TraceState = parent, state
	}
	if isStructured(contents) || !binary && (contents == "" || isJSON(contents)) {
		return decodeStructured(e, body)
	}
	if !binary {
		return Event{}, fmt.Errorf("%w: neither ce- headers nor a structured CloudEvent (content type %q)", ErrInvalid, clip(contents))
	}
	if spec != specVersion {
		return Event{}, fmt.Errorf("%w: specversion is %q, not %q", ErrInvalid, clip(spec), specVersion)
	}
	e.DataContentType, e.Data = contents, body
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// setAttribute takes one context attribute or extension from its string form.
func (e *Event) setAttribute(name, value string) error {
	var err error
	switch name {
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "time":
		e.Time, err = parseTime(value)
	case "dataschema":
		e.DataSchema = value
	case "datacontenttype":
		e.DataContentType = value
	case "correlationid":
		e.CorrelationID = value
	case "causationid":
		e.CausationID = value
	case "userid":
		e.UserID = value
	case "fingerprint":
		e.Fingerprint = value
	case "aggregateversion":
		e.Version, err = strconv.ParseUint(value, 10, 63)
	case "previous":
		e.Previous, err = splitSequences(value)
	case "step":
		e.Step, err = strconv.Atoi(value)
		if err == nil && e.Step < 1 {
			err = strconv.ErrRange
		}
	case headerTraceParent:
		e.TraceParent = value
	case headerTraceState:
		e.TraceState = value
	default:
		if !validAttributeName(name) {
			return fmt.Errorf("%w: attribute name %q is not [a-z0-9]+", ErrInvalid, clip(name))
		}
		if e.Extensions == nil {
			e.Extensions = make(map[string]string)
		}
		e.Extensions[name] = value
	}
	if err != nil {
		return fmt.Errorf("%w: attribute %s has the value %q", ErrInvalid, name, clip(value))
	}
	return nil
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}

func joinSequences(sequences []uint64) string {
	if len(sequences) == 0 {
		return ""
	}
	b := make([]byte, 0, 8*len(sequences))
	for i, s := range sequences {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, s, 10)
	}
	return string(b)
}

// splitSequences reads ce-previous: up to 12 sequences, each lower than the one
// before it.
func splitSequences(s string) ([]uint64, error) {
	sequences := make([]uint64, 0, MaxPrevious)
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil {
			return nil, err
		}
		if n == 0 || len(sequences) == MaxPrevious || len(sequences) > 0 && n >= sequences[len(sequences)-1] {
			return nil, strconv.ErrRange
		}
		sequences = append(sequences, n)
	}
	return sequences, nil
}

// MaxPrevious is how many sequences ce-previous holds at most: what a loader gets
// in one parallel round trip.
const MaxPrevious = 12

func isStructured(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && strings.HasPrefix(media, "application/cloudevents")
}

func isJSON(contentType string) bool {
	if contentType == ContentType {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == ContentType || media == "text/json" || strings.HasSuffix(media, "+json"))
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
