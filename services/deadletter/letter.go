package deadletter

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"sluice/pkg/bus"
	"sluice/services/deadletter/deadletterapi"
)

// What an answer takes, so that it fits into a NATS message of 1 MiB, the default
// limit: all letters of a page but the first, and the data of one letter.
const (
	largestPage = 512 << 10
	largestData = 256 << 10
	letterSize  = 1 << 10 // of what is always shown, about
)

// show returns a letter as others see it, and about how many bytes that takes. Data that
// is too large is left out; its size tells.
func show(d bus.DeadLetter) (shown deadletterapi.Letter, size int) {
	shown = deadletterapi.Letter{
		ID: d.ID, Consumer: text(d.Consumer), Reason: text(string(d.Reason)), Error: text(d.Error), Attempts: d.Attempts,
		Stream: text(d.Stream), Sequence: d.Sequence, Subject: text(d.Subject), FirstAt: d.FirstAt, LastAt: d.LastAt,
		Redrives: d.Redrives, Truncated: text(d.Truncated), Position: d.Position, Headers: headers(d.Header), Size: len(d.Data),
	}
	for _, f := range d.Earlier {
		shown.Earlier = append(shown.Earlier, deadletterapi.Failure{At: f.At, Reason: text(string(f.Reason)), Error: text(f.Error), Attempts: f.Attempts})
	}
	showData(&shown, d.Data)
	size = letterSize + len(shown.Error) + len(shown.Subject) + len(shown.Data) + len(shown.Binary)
	for name, values := range shown.Headers {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	for _, f := range shown.Earlier {
		size += letterSize/8 + len(f.Error)
	}
	return shown, size
}

func showData(shown *deadletterapi.Letter, data []byte) {
	if len(data) == 0 || len(data) > largestData {
		return
	}
	if v := jsontext.Value(data); v.IsValid() {
		shown.Data = v
		return
	}
	if utf8.Valid(data) {
		quoted, err := jsontext.AppendQuote(nil, data)
		if err == nil && len(quoted) <= 2*largestData {
			shown.Data = quoted
			return
		}
	}
	shown.Binary = base64.StdEncoding.EncodeToString(data)
}

func headers(h nats.Header) deadletterapi.Headers {
	if len(h) == 0 {
		return nil
	}
	all := make(deadletterapi.Headers, len(h))
	for name, values := range h {
		name = text(name)
		for _, v := range values {
			all[name] = append(all[name], text(v))
		}
	}
	return all
}

// text returns s as JSON takes it.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
