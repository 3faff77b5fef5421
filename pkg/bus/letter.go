package bus

import (
	"cmp"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// The headers of a dead letter.
const (
	letterID        = "Dead-Letter-Id"
	letterConsumer  = "Dead-Letter-Consumer"
	letterReason    = "Dead-Letter-Reason"
	letterError     = "Dead-Letter-Error"
	letterAttempts  = "Dead-Letter-Attempts"
	letterStream    = "Dead-Letter-Stream"
	letterSequence  = "Dead-Letter-Sequence"
	letterOriginal  = "Dead-Letter-Subject"
	letterFirstAt   = "Dead-Letter-First-At"
	letterLastAt    = "Dead-Letter-Last-At"
	letterStoredAt  = "Dead-Letter-Stored-At"
	letterTruncated = "Dead-Letter-Truncated"
	letterRedrives  = "Dead-Letter-Redrives"

	// letterEarlier has the failures before the last redrive, one a value, the oldest
	// first: time, reason, attempts and error, with a space between.
	letterEarlier = "Dead-Letter-Earlier"

	// letterPosition stands in a redrive message and names the letter it is about, by
	// its sequence in the stream of dead letters.
	letterPosition = "Dead-Letter-Position"

	// letterEncoded has the original headers that would not survive as they are, each
	// as a percent-encoded name=value.
	letterEncoded = "Dead-Letter-Encoded"

	// originalPrefix stands before the name of every other original header.
	originalPrefix = "Original-"
)

const (
	absent         = "-" // stands for an empty time or reason of an earlier failure
	longestError   = 1 << 10
	largestHeaders = 60 << 10 // a stream takes 64 KiB of headers
	headerOverhead = 256      // what publishing adds
)

// encodeLetter returns the wire form of d, cut so that it takes at most limit bytes:
// first what went before, then the original headers, then the data.
func encodeLetter(d DeadLetter, limit int) (nats.Header, []byte) {
	for {
		whole := letterHead(d)
		addOriginal(whole, d.Header)
		if size := headerSize(whole); size <= largestHeaders && size+len(d.Data) <= limit {
			return whole, d.Data
		}
		if len(d.Earlier) == 0 {
			break
		}
		d.Earlier = nil
	}
	d.Truncated = "headers"
	head := letterHead(d)
	left := limit - headerSize(head)
	if len(d.Data) <= left {
		return head, d.Data
	}
	head[letterTruncated] = []string{"data"}
	return head, d.Data[:max(left, 0)]
}

func letterHead(d DeadLetter) nats.Header {
	h := make(nats.Header, 16)
	for _, x := range []struct{ name, value string }{
		{letterID, d.ID},
		{letterConsumer, d.Consumer},
		{letterReason, string(d.Reason)},
		{letterError, oneLine(d.Error)},
		{letterAttempts, strconv.Itoa(d.Attempts)},
		{letterStream, d.Stream},
		{letterSequence, strconv.FormatUint(d.Sequence, 10)},
		{letterOriginal, d.Subject},
		{letterFirstAt, formatTime(d.FirstAt)},
		{letterLastAt, formatTime(d.LastAt)},
		{letterStoredAt, formatTime(d.StoredAt)},
		{letterTruncated, d.Truncated},
	} {
		if x.value != "" {
			h[x.name] = []string{x.value}
		}
	}
	if d.Redrives > 0 {
		h[letterRedrives] = []string{strconv.Itoa(d.Redrives)}
	}
	for _, f := range d.Earlier {
		h[letterEarlier] = append(h[letterEarlier], formatFailure(f))
	}
	return h
}

func formatFailure(f Failure) string {
	at, reason := cmp.Or(formatTime(f.At), absent), cmp.Or(string(f.Reason), absent)
	return strings.TrimSpace(at + " " + reason + " " + strconv.Itoa(f.Attempts) + " " + oneLine(f.Error))
}

func parseFailure(s string) (Failure, error) {
	parts := append(strings.SplitN(s, " ", 4), "", "", "")
	for i := range 2 {
		if parts[i] == absent {
			parts[i] = ""
		}
	}
	at, err := parseTime(parts[0])
	if err != nil {
		return Failure{}, err
	}
	attempts, err := strconv.Atoi(parts[2])
	return Failure{At: at, Reason: Reason(parts[1]), Attempts: attempts, Error: parts[3]}, err
}

func addOriginal(h, original nats.Header) {
	for name, values := range original {
		plain := isToken(name)
		for _, v := range values {
			plain = plain && v == textproto.TrimString(v) && !strings.ContainsAny(v, "\r\n")
		}
		if plain {
			h[originalPrefix+name] = values
			continue
		}
		for _, v := range values {
			h[letterEncoded] = append(h[letterEncoded], url.QueryEscape(name)+"="+url.QueryEscape(v))
		}
	}
}

// isToken reports whether name is a header name that any NATS client writes and
// reads: an HTTP token (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

func headerSize(h nats.Header) int {
	size := headerOverhead
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	return size
}

// oneLine returns s without control characters and broken UTF-8, cut to longestError
// bytes.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), unicode.IsControl), " ")
	return strings.TrimSpace(cut(s, longestError))
}

// cut returns s, which is UTF-8, or what of it fits into size bytes.
func cut(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size]
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// ErrNotALetter says that a message is no dead letter, or a damaged one.
var ErrNotALetter = errors.New("not a dead letter")

// ParseDeadLetter reads a message of the stream of dead letters: the inverse of
// [PublishDeadLetter]. Errors wrap [ErrNotALetter].
func ParseDeadLetter(header nats.Header, data []byte) (DeadLetter, error) {
	d := DeadLetter{
		ID: header.Get(letterID), Consumer: header.Get(letterConsumer), Reason: Reason(header.Get(letterReason)),
		Error: header.Get(letterError), Stream: header.Get(letterStream), Subject: header.Get(letterOriginal),
		Data: data, Truncated: header.Get(letterTruncated),
	}
	if d.ID == "" || d.Consumer == "" || d.Stream == "" {
		return DeadLetter{}, fmt.Errorf("%w: it lacks %s, %s or %s", ErrNotALetter, letterID, letterConsumer, letterStream)
	}
	var err error
	if d.Attempts, err = strconv.Atoi(header.Get(letterAttempts)); err != nil {
		return DeadLetter{}, fmt.Errorf("%w: %s: %w", ErrNotALetter, letterAttempts, err)
	}
	if d.Sequence, err = strconv.ParseUint(header.Get(letterSequence), 10, 64); err != nil {
		return DeadLetter{}, fmt.Errorf("%w: %s: %w", ErrNotALetter, letterSequence, err)
	}
	for name, at := range map[string]*time.Time{letterFirstAt: &d.FirstAt, letterLastAt: &d.LastAt, letterStoredAt: &d.StoredAt} {
		if *at, err = parseTime(header.Get(name)); err != nil {
			return DeadLetter{}, fmt.Errorf("%w: %s: %w", ErrNotALetter, name, err)
		}
	}
	if redrives := header.Get(letterRedrives); redrives != "" {
		if d.Redrives, err = strconv.Atoi(redrives); err != nil {
			return DeadLetter{}, fmt.Errorf("%w: %s: %w", ErrNotALetter, letterRedrives, err)
		}
	}
	for _, line := range header[letterEarlier] {
		failure, err := parseFailure(line)
		if err != nil {
			return DeadLetter{}, fmt.Errorf("%w: %s: %w", ErrNotALetter, letterEarlier, err)
		}
		d.Earlier = append(d.Earlier, failure)
	}
	d.Header, err = originalHeader(header)
	return d, err
}

func originalHeader(header nats.Header) (nats.Header, error) {
	original := make(nats.Header)
	for name, values := range header {
		if plain, ok := strings.CutPrefix(name, originalPrefix); ok {
			original[plain] = values
		}
	}
	for _, line := range header[letterEncoded] {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%w: %s has no name", ErrNotALetter, letterEncoded)
		}
		for _, s := range []*string{&name, &value} {
			decoded, err := url.QueryUnescape(*s)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrNotALetter, letterEncoded, err)
			}
			*s = decoded
		}
		original[name] = append(original[name], value)
	}
	if len(original) == 0 {
		return nil, nil
	}
	return original, nil
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, s)
}
