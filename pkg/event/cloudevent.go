package event

import (
	"fmt"
	"net/url"
	"strconv"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// CloudEvent returns e as the official SDK's event, for every edge where others
// meet it: JSON format, HTTP, validation. The stream position, when there is one,
// is the extension "position".
func (e Event) CloudEvent() (cloudevents.Event, error) {
	attributes, err := e.attributes()
	if err != nil {
		return cloudevents.Event{}, err
	}
	ce := cloudevents.Event{Context: attributes}
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
	if len(e.Data) > 0 {
		ce.DataEncoded = e.Data
		// The SDK writes data that is not base64 as it is, so it must be one JSON value.
		ce.DataBase64 = !isJSON(*attributes.DataContentType) || !jsontext.Value(e.Data).IsValid()
	}
	if err := ce.Validate(); err != nil {
		return cloudevents.Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return ce, nil
}

// attributes returns the context attributes as the SDK has them, without extensions.
// The SDK's setters would trim them.
func (e Event) attributes() (*cloudevents.EventContextV1, error) {
	source, err := url.Parse(e.Source)
	if err != nil {
		return nil, fmt.Errorf("%w: attribute source is not a URI reference", ErrInvalid)
	}
	c := &cloudevents.EventContextV1{ID: e.ID, Source: types.URIRef{URL: *source}, Type: e.Type}
	if e.Subject != "" {
		c.Subject = &e.Subject
	}
	if !e.Time.IsZero() {
		c.Time = &types.Timestamp{Time: e.Time}
	}
	if e.DataSchema != "" {
		schema, err := url.Parse(e.DataSchema)
		if err != nil {
			return nil, fmt.Errorf("%w: attribute dataschema is not a URI", ErrInvalid)
		}
		c.DataSchema = &types.URI{URL: *schema}
	}
	contentType := e.DataContentType
	if contentType == "" {
		contentType = ContentType
	}
	c.DataContentType = &contentType
	return c, nil
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
	if err := checkStructured(body); err != nil {
		return Event{}, err
	}
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
	e.dropLooseTraceState()
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// checkStructured refuses what the SDK's reader is not fit for: it takes the first
// object it finds for the whole body and the last of several members of one name,
// stops reading at a member without a name, and panics on a data_base64 that is no
// string.
func checkStructured(body []byte) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("%w: not a CloudEvent in JSON format: %w", ErrInvalid, err)
	}
	if _, ok := members[""]; ok {
		return fmt.Errorf("%w: a member has no name", ErrInvalid)
	}
	if data, ok := members["data_base64"]; ok && data.Kind() != '"' {
		return fmt.Errorf("%w: data_base64 is not a string", ErrInvalid)
	}
	return nil
}
