package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// DeadLetterStream is the stream where dead letters lie, under
// deadletter.<consumer>.<original subject>.
const DeadLetterStream = "DEADLETTERS"

// Reason says why a message was given up.
type Reason string

// The reasons of dead letters.
const (
	ReasonDropped     Reason = "dropped"     // the handler said so
	ReasonAttempts    Reason = "attempts"    // every attempt failed
	ReasonUndecodable Reason = "undecodable" // not an event, or data that does not fit its type
	ReasonForeign     Reason = "foreign"     // not of the history or of the types it claims to be
)

// DeadLetter is a message that was given up, and why.
type DeadLetter struct {
	ID       string // empty when published: it is derived from Consumer, Stream and Sequence
	Consumer string // the group that gave up
	Reason   Reason
	Error    string // cut to one line of at most 1 KiB when published
	Attempts int

	Stream   string // where the message lay
	Sequence uint64
	Subject  string
	Header   nats.Header
	Data     []byte

	FirstAt time.Time // the first failure
	LastAt  time.Time // the failure that decided

	// Truncated says what had to be left out, because the message did not fit beside
	// what is told about it: "headers", or "data" when Header is left out and Data is
	// cut. Empty: nothing.
	Truncated string
}

// What the server says of a message or of headers that are too large for the stream.
const (
	codeMessageTooLarge jetstream.ErrorCode = 10054
	codeHeaderTooLarge  jetstream.ErrorCode = 10097
)

// smallestLetter is below what any stream of dead letters accepts.
const smallestLetter = 4 << 10

// PublishDeadLetter stores d and returns when that is confirmed. Publishing a letter
// for the same consumer, stream and sequence again within the stream's duplicate
// window does nothing.
//
// The message's own headers are stored under other names, so that none of them acts
// on the stream of dead letters; [ParseDeadLetter] gives them back to the letter.
func PublishDeadLetter(ctx context.Context, js jetstream.JetStream, d DeadLetter) error {
	d.ID = event.DeriveID(d.Consumer, d.Stream, strconv.FormatUint(d.Sequence, 10))
	subject := letterSubject(d.Consumer, d.Subject)
	dedupe := d.Consumer + "." + d.Stream + "." + strconv.FormatUint(d.Sequence, 10)
	for limit := int(js.Conn().MaxPayload()); ; limit /= 2 {
		header, data := encodeLetter(d, limit)
		msg := &nats.Msg{Subject: subject, Header: header, Data: data}
		_, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(dedupe), jetstream.WithExpectStream(DeadLetterStream))
		if err == nil {
			return nil
		}
		if limit <= smallestLetter || !tooLarge(err) {
			return fmt.Errorf("publish dead letter %s: %w", d.ID, err)
		}
	}
}

func tooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) ||
		errors.As(err, &api) && (api.ErrorCode == codeMessageTooLarge || api.ErrorCode == codeHeaderTooLarge)
}

// longestSubject keeps a letter's subject far from the server's limit for a protocol
// line, whose violation costs the connection.
const longestSubject = 1 << 10

// letterSubject returns the subject of a letter. A publisher may have used a subject
// that is not fit for publishing under a prefix; the letter's headers have it whole.
func letterSubject(consumer, original string) string {
	tokens := strings.Split(original, ".")
	for i, token := range tokens {
		if token == "" || token == "*" || token == ">" || strings.ContainsAny(token, " \t\r\n\x00") {
			tokens[i] = "_"
		}
	}
	subject := "deadletter." + consumer + "." + strings.Join(tokens, ".")
	if len(subject) > longestSubject {
		subject = strings.TrimRight(subject[:longestSubject], ".")
	}
	return subject
}
