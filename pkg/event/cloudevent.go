package event

import (
	"fmt"
	"strconv"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// CloudEvent returns e as the official SDK's event, for every edge where others
// meet it: JSON format, HTTP, validation. The stream position, when there is one,
// is the extension "position".
func (e Event) CloudEvent() (cloudevents.Event, error) {
	ce := cloudevents.New(specVersion)
	ce.SetID(e.ID)
	ce.SetSource(e.Source)
	ce.SetType(e.Type)
	if e.Subject != "" {
		ce.SetSubject(e.Subject)
	}
	if !e.Time.IsZero() {
		ce.SetTime(e.Time)
	}
	if e.DataSchema != "" {
		ce.SetDataSchema(e.DataSchema)
	}
	contentType := e.DataContentType
	if contentType == "" {
		contentType = ContentType
	}
	ce.SetDataContentType(contentType)
	for name, value := range e.Extensions {
		ce.SetExtension(name, value)
	}
	for _, x := range []struct{ name, value string }{
		{"correlationid", e.CorrelationID},
		{"causationid", e.CausationID},
		{"userid", e.UserID},
		{"fingerprint", e.Fingerprint},
		{"previous", joinSequences(e.Previous)},
		{headerTraceParent, e.TraceParent},
		{headerTraceState, e.TraceState},
	} {
		if x.value != "" {
			ce.SetExtension(x.name, x.value)
		}
	}
	for _, x := range []struct {
		name  string
		value uint64
	}{{"aggregateversion", e.Version}, {"step", uint64(max(e.Step, 0))}, {"position", e.Sequence}} {
		if x.value > 0 {
			ce.SetExtension(x.name, strconv.FormatUint(x.value, 10))
		}
	}
	ce.DataEncoded = e.Data
	ce.DataBase64 = !isJSON(contentType)
	if err := ce.Validate(); err != nil {
		return cloudevents.Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return ce, nil
}

// MarshalJSON writes e in the CloudEvents JSON format, with the official SDK.
func (e Event) MarshalJSON() ([]byte, error) {
	ce, err := e.CloudEvent()
	if err != nil {
		return nil, err
	}
	return ce.MarshalJSON()
}

// UnmarshalJSON reads the CloudEvents JSON format, with the official SDK.
func (e *Event) UnmarshalJSON(b []byte) error {
	decoded, err := decodeStructured(Event{}, b)
	if err != nil {
		return err
	}
	*e = decoded
	return nil
}

// decodeStructured reads body in the CloudEvents JSON format. What base holds of
// trace context, taken from headers, counts unless the body has its own.
func decodeStructured(base Event, body []byte) (Event, error) {
	var ce cloudevents.Event
	if err := ce.UnmarshalJSON(body); err != nil {
		return Event{}, fmt.Errorf("%w: not a CloudEvent in JSON format: %w", ErrInvalid, err)
	}
	if ce.SpecVersion() != specVersion {
		return Event{}, fmt.Errorf("%w: specversion is %q, not %q", ErrInvalid, clip(ce.SpecVersion()), specVersion)
	}
	if err := ce.Validate(); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	e := Event{
		ID: ce.ID(), Source: ce.Source(), Type: ce.Type(), Subject: ce.Subject(), Time: ce.Time().UTC(),
		DataSchema: ce.DataSchema(), DataContentType: ce.DataContentType(), Data: ce.Data(),
		TraceParent: base.TraceParent, TraceState: base.TraceState,
	}
	if ce.Time().IsZero() {
		e.Time = ce.Time()
	}
	for name, value := range ce.Extensions() {
		if name == "position" {
			var err error
			if e.Sequence, err = strconv.ParseUint(fmt.Sprint(value), 10, 63); err != nil {
				return Event{}, fmt.Errorf("%w: position is %q", ErrInvalid, clip(fmt.Sprint(value)))
			}
			continue
		}
		if err := e.setAttribute(name, fmt.Sprint(value)); err != nil {
			return Event{}, err
		}
	}
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}
