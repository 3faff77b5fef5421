package event

import (
	"fmt"
	"strconv"
	"time"
)

// Attribute returns an attribute of the event in its string form, by the name that
// CloudEvents gives it, such as type or correlationid; false when the event has none.
func (e *Event) Attribute(name string) (value string, ok bool) {
	if text := e.text(name); text != nil {
		return *text, *text != ""
	}
	switch name {
	case "specversion":
		return "1.0", true
	case "time":
		return e.Time.UTC().Format(time.RFC3339Nano), !e.Time.IsZero()
	case "aggregateversion":
		return strconv.FormatUint(e.Version, 10), e.Version > 0
	default:
		value, ok = e.Extensions[name]
		return value, ok
	}
}

// setAttribute takes one context attribute or extension from its string form.
func (e *Event) setAttribute(name, value string) error {
	if target := e.text(name); target != nil {
		*target = value
		return nil
	}
	var err error
	switch name {
	case "time":
		e.Time, err = parseTime(value)
	case "aggregateversion":
		e.Version, err = strconv.ParseUint(value, 10, 63)
	case "previous":
		e.Previous, err = splitSequences(value)
	case "step":
		e.Step, err = strconv.Atoi(value)
		if err == nil && e.Step < 1 {
			err = strconv.ErrRange
		}
	case "position": // says nothing here: the stream tells where an event is
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

// text returns where the attribute of that name is kept as it is, or nil.
func (e *Event) text(name string) *string {
	switch name {
	case "id":
		return &e.ID
	case "source":
		return &e.Source
	case "type":
		return &e.Type
	case "subject":
		return &e.Subject
	case "dataschema":
		return &e.DataSchema
	case "datacontenttype":
		return &e.DataContentType
	case "correlationid":
		return &e.CorrelationID
	case "causationid":
		return &e.CausationID
	case "userid":
		return &e.UserID
	case "fingerprint":
		return &e.Fingerprint
	case headerTraceParent:
		return &e.TraceParent
	case headerTraceState:
		return &e.TraceState
	default:
		return nil
	}
}

// dropLooseTraceState forgets a tracestate without a traceparent, which means nothing
// (W3C Trace Context, section 3.3).
func (e *Event) dropLooseTraceState() {
	if e.TraceParent == "" {
		e.TraceState = ""
	}
}
