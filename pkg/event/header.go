package event

import (
	"cmp"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

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
func Encode(e Event) (nats.Header, []byte) { return new(Encoder).Encode(e) }

// Encoder encodes events one after another in the same memory. The zero value is
// ready. It is for one goroutine at a time.
type Encoder struct {
	header nats.Header
	values []string
}

// Encode is [Encode], with a header that is valid until the next call.
func (c *Encoder) Encode(e Event) (nats.Header, []byte) {
	const usual = 24 // headers, with what a store adds
	if c.header == nil {
		c.header, c.values = make(nats.Header, usual), make([]string, 0, usual)
	}
	clear(c.header)
	c.values = c.values[:0]
	c.set("ce-specversion", specVersion)
	c.set("ce-id", e.ID)
	c.set("ce-source", e.Source)
	c.set("ce-type", e.Type)
	c.set("ce-subject", e.Subject)
	if !e.Time.IsZero() {
		c.set("ce-time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	c.set("ce-dataschema", e.DataSchema)
	c.set("ce-correlationid", e.CorrelationID)
	c.set("ce-causationid", e.CausationID)
	c.set("ce-userid", e.UserID)
	c.set("ce-fingerprint", e.Fingerprint)
	if e.Version > 0 {
		c.set("ce-aggregateversion", strconv.FormatUint(e.Version, 10))
	}
	c.set("ce-previous", joinSequences(e.Previous))
	if e.Step > 0 {
		c.set("ce-step", strconv.Itoa(e.Step))
	}
	for name, value := range e.Extensions {
		c.set(attributePrefix+name, value)
	}
	// W3C Trace Context and media types know no percent-encoding.
	c.add(headerTraceParent, e.TraceParent)
	c.add(headerTraceState, e.TraceState)
	c.add(headerContentType, cmp.Or(e.DataContentType, ContentType))
	return c.header, e.Data
}

func (c *Encoder) set(name, value string) { c.add(name, percentEncode(value)) }

// add sets a header that is there once, unless value is empty. The values lie in one
// slice, each with no room for more behind it.
func (c *Encoder) add(name, value string) {
	if value == "" {
		return
	}
	c.values = append(c.values, value)
	n := len(c.values)
	c.header[name] = c.values[n-1 : n : n]
}

// Decode reads an event in binary mode (ce- headers, names in any case) or in
// structured mode (content type application/cloudevents+json, or no CloudEvents
// header at all and a JSON object as the body, as `nats pub` sends it). Every error
// wraps [ErrInvalid]. Data is not copied.
func Decode(header nats.Header, body []byte) (Event, error) {
	var e Event
	h, err := readHeader(header, &e)
	if err != nil {
		return Event{}, err
	}
	if h.traceParent != "" {
		e.TraceParent, e.TraceState = h.traceParent, h.traceState
	}
	e.dropLooseTraceState()
	switch {
	case isStructured(h.contentType), !h.binary && (h.contentType == "" || isJSON(h.contentType)):
		e, err := decodeStructured(e, body)
		e.Sequence = 0 // a position is the word of whoever sent the event
		return e, err
	case !h.binary:
		return Event{}, fmt.Errorf("%w: neither ce- headers nor a structured CloudEvent (content type %q)", ErrInvalid, clip(h.contentType))
	case h.specVersion != specVersion:
		return Event{}, fmt.Errorf("%w: specversion is %q, not %q", ErrInvalid, clip(h.specVersion), specVersion)
	}
	e.DataContentType, e.Data = cmp.Or(h.contentType, e.DataContentType), body
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// messageHeader is what of a message's header is no attribute of the event, or counts
// before it.
type messageHeader struct {
	contentType string
	specVersion string
	traceParent string // the plain header, which counts before ce-traceparent
	traceState  string
	binary      bool // there are ce- headers
}

// readHeader takes the attributes from header into e. Each may be there once,
// whatever its case.
func readHeader(header nats.Header, e *Event) (messageHeader, error) {
	var h messageHeader
	var seen names
	for key, values := range header {
		name := strings.ToLower(key)
		attribute, isAttribute := strings.CutPrefix(name, attributePrefix)
		if !isAttribute && name != headerContentType && name != headerTraceParent && name != headerTraceState {
			continue
		}
		if len(values) != 1 || key != name && !seen.first(header, name) {
			return h, fmt.Errorf("%w: header %q is not there exactly once", ErrInvalid, clip(name))
		}
		switch {
		case name == headerContentType:
			h.contentType = values[0]
		case name == headerTraceParent: // W3C Trace Context knows no percent-encoding
			h.traceParent = values[0]
		case name == headerTraceState:
			h.traceState = values[0]
		case attribute == "specversion":
			h.specVersion, h.binary = percentDecode(values[0]), true
		default:
			h.binary = true
			if err := e.setAttribute(attribute, percentDecode(values[0])); err != nil {
				return h, err
			}
		}
	}
	return h, nil
}

// names remembers the header names that were not written in lower case.
type names map[string]struct{}

// first reports whether name is in header in one spelling only, as far as is known:
// neither in lower case nor in a spelling met before.
func (n *names) first(header nats.Header, name string) bool {
	if _, twice := header[name]; twice {
		return false
	}
	if _, twice := (*n)[name]; twice {
		return false
	}
	if *n == nil {
		*n = make(names)
	}
	(*n)[name] = struct{}{}
	return true
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
	if contentType == ContentType {
		return false
	}
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
