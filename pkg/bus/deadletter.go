package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	FirstAt  time.Time // the first failure
	LastAt   time.Time // the failure that decided
	StoredAt time.Time // when Stream stored the message; zero when that is not known

	// Redrives is how often the message was handled anew and failed again. Attempts
	// counts all attempts, and Earlier has the failures before this one, the oldest
	// first; of many only the latest are kept.
	Redrives int
	Earlier  []Failure

	// Truncated says what had to be left out, because the message did not fit beside
	// what is told about it: "headers", or "data" when Header is left out and Data is
	// cut. Empty: nothing.
	Truncated string

	// Position is the letter's own sequence in the stream of dead letters. A
	// [Letterbox] sets it; it is 0 otherwise.
	Position uint64
}

// Failure is what a letter said before it was redriven.
type Failure struct {
	At       time.Time
	Reason   Reason
	Attempts int // all up to then
	Error    string
}

const (
	mostEarlier         = 10
	longestEarlierError = 256
)

// renewed returns the letter of a message that was redriven and failed again.
func (d DeadLetter) renewed(failure DeadLetter) DeadLetter {
	before := Failure{At: d.LastAt, Reason: d.Reason, Attempts: d.Attempts, Error: cut(d.Error, longestEarlierError)}
	d.Earlier = append(slices.Clone(d.Earlier), before)
	d.Earlier = d.Earlier[max(0, len(d.Earlier)-mostEarlier):]
	d.Redrives++
	d.Attempts += failure.Attempts
	d.Reason, d.Error, d.LastAt = failure.Reason, failure.Error, failure.LastAt
	return d
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
	d.ID = d.deriveID()
	dedupe := d.Consumer + "." + d.Stream + "." + strconv.FormatUint(d.Sequence, 10)
	for limit := int(js.Conn().MaxPayload()); ; limit /= 2 {
		header, data := encodeLetter(d, limit)
		_, err := storeLetter(ctx, js, &nats.Msg{Subject: letterSubject(d.Consumer, d.Subject), Header: header, Data: data}, dedupe)
		if err == nil {
			return nil
		}
		if limit <= smallestLetter || !tooLarge(err) {
			return fmt.Errorf("publish dead letter %s: %w", d.ID, err)
		}
	}
}

// deriveID returns the id of the letter of d's message in d's group.
func (d DeadLetter) deriveID() string {
	return event.DeriveID(d.Consumer, d.Stream, strconv.FormatUint(d.Sequence, 10))
}

// storeLetter publishes a message to the stream of dead letters; within the duplicate
// window only the first with the id dedupe is stored.
func storeLetter(ctx context.Context, js jetstream.JetStream, m *nats.Msg, dedupe string) (*jetstream.PubAck, error) {
	return js.PublishMsg(ctx, m, jetstream.WithMsgID(dedupe), jetstream.WithExpectStream(DeadLetterStream))
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
