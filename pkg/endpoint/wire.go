package endpoint

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// wireError is the body of an error reply.
type wireError struct {
	Code         Code         `json:"code"`
	Message      string       `json:"message"`
	Fields       []FieldError `json:"fields,omitempty"`
	RetryAfterMS int64        `json:"retry_after_ms,omitzero"`
}

// address puts e into p: all of it into the text that is returned, and what those look
// at who know only micro into headers.
func (e *Error) address(p *parcel) (text []byte) {
	p.set(headerErrorCode, strconv.Itoa(e.Status()))
	p.msg.Header[headerError] = []string{e.Message} // also when it is empty
	text, err := json.Marshal(wireError{
		Code: e.Code, Message: e.Message, Fields: e.Fields, RetryAfterMS: e.RetryAfter.Milliseconds(),
	})
	if err != nil {
		return nil // the headers say it
	}
	return text
}

// errorFrom returns the error that a reply carries, whose text is given, or nil. Services
// that are not written with this package have the status alone.
func errorFrom(h nats.Header, text []byte) *Error {
	status := h.Get(headerErrorCode)
	if status == "" {
		return nil
	}
	var w wireError
	if err := json.Unmarshal(text, &w); err == nil && w.Code != "" {
		return &Error{
			Code: w.Code, Message: w.Message, Fields: w.Fields, RetryAfter: time.Duration(w.RetryAfterMS) * time.Millisecond,
			stale: status == "412",
		}
	}
	for _, code := range []Code{
		CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeConflict,
		CodeRateLimited, CodeUnavailable, CodeDeadline,
	} {
		if status == strconv.Itoa(code.Status()) {
			return &Error{Code: code, Message: h.Get(headerError)}
		}
	}
	return &Error{Code: CodeInternal, Message: h.Get(headerError)}
}
