package endpoint

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/event"
)

// The headers of requests and replies. NATS header names are case-sensitive: these
// are the exact bytes.
const (
	// HeaderCorrelationID names the request that began it all; every reply has it.
	HeaderCorrelationID = "Sluice-Correlation-Id"
	// HeaderAuthorization holds the token that proves who asks, "Bearer …".
	HeaderAuthorization = "Authorization"
	// HeaderTimeout holds the milliseconds that the caller still waits.
	HeaderTimeout = "Sluice-Timeout"
	// HeaderPosition holds positions, "ORDERS=1234,USERS=7": in a reply what the
	// request wrote, in a request what its answer must take into account.
	HeaderPosition = "Sluice-Position"
	// HeaderIdempotencyKey makes repeats of a command one command.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderExpectedVersion holds the version that what is to be changed must still have.
	HeaderExpectedVersion = "Sluice-Expected-Version"

	headerError     = "Nats-Service-Error"
	headerErrorCode = "Nats-Service-Error-Code"
)

// Position is a place in a stream that a read model must have reached.
type Position struct {
	Stream   string
	Sequence uint64
}

// String returns the position as headers have it, "ORDERS=1234".
func (p Position) String() string {
	return p.Stream + "=" + strconv.FormatUint(p.Sequence, 10)
}

// exchange is what a request and its reply carry beside their bodies.
type exchange struct {
	waits    []Position
	expected uint64
	expects  bool

	mu    sync.Mutex
	wrote []Position
}

type exchangeKey struct{}

// Wrote tells the caller where the decision of this request lies, in the reply's
// Sluice-Position; of several in one stream the last counts. An error reply carries
// it too, which tells how far a read model has got. Outside a request it does nothing.
func Wrote(ctx context.Context, stream string, sequence uint64) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wrote = reach(x.wrote, Position{stream, sequence})
}

// Waits returns the positions that the caller wants the answer to take into account:
// a query waits for its read model to get there.
func Waits(ctx context.Context) []Position {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.waits
	}
	return nil
}

// Expected returns the version that the caller's decision rests on, if it says so: what
// has another one by now is not to be changed, see [Stale]. sluice/pkg/aggregate sees
// to that.
func Expected(ctx context.Context) (version uint64, ok bool) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return 0, false
	}
	return x.expected, x.expects
}

func (x *exchange) positions() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return joinPositions(x.wrote)
}

// reach returns positions with p in it, one for each stream, the highest.
func reach(positions []Position, p Position) []Position {
	for i := range positions {
		if positions[i].Stream == p.Stream {
			positions[i].Sequence = max(positions[i].Sequence, p.Sequence)
			return positions
		}
	}
	return append(positions, p)
}

func joinPositions(positions []Position) string {
	parts := make([]string, len(positions))
	for i, p := range positions {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

const maxPositions = 16

var streamPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func parsePositions(s string) ([]Position, error) {
	if s == "" {
		return nil, nil
	}
	var positions []Position
	for part := range strings.SplitSeq(s, ",") {
		stream, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.ParseUint(number, 10, 63)
		if !ok || err != nil || !streamPattern.MatchString(stream) || len(positions) == maxPositions {
			return nil, malformed(HeaderPosition, "must be like ORDERS=1234")
		}
		positions = reach(positions, Position{stream, n})
	}
	return positions, nil
}

var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// ValidCorrelationID reports whether id may name a request: 1 to 128 of
// [A-Za-z0-9_.-].
func ValidCorrelationID(id string) bool { return tokenPattern.MatchString(id) }

// identifyCommand completes md with the id of what the request asks for, and who asks.
func identifyCommand(md *event.Metadata, h nats.Header, id auth.Identity) error {
	md.UserID = id.User
	key, err := single(h, HeaderIdempotencyKey)
	if err != nil {
		return err
	}
	if key == "" {
		if md.CausationID == "" {
			md.CausationID = event.NewID()
		}
		return nil
	}
	if !ValidIdempotencyKey(key) {
		return malformed(HeaderIdempotencyKey, "must be 1 to 255 printable ASCII characters")
	}
	caller := id.User
	if id.Service != "" {
		caller = "service " + id.Service
	}
	md.CausationID, md.Keyed = event.DeriveID("command", caller, key), true
	return nil
}

// ValidIdempotencyKey reports whether key is 1 to 255 printable ASCII characters.
func ValidIdempotencyKey(key string) bool {
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return false
		}
	}
	return key != "" && len(key) <= 255
}

// timeout returns how long the caller waits: what the header says, at most most, or
// fallback when it says nothing.
func timeout(h nats.Header, fallback, most time.Duration) (time.Duration, error) {
	value, err := single(h, HeaderTimeout)
	if err != nil {
		return 0, err
	}
	if value == "" {
		return fallback, nil
	}
	ms, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0, malformed(HeaderTimeout, "must be milliseconds")
	}
	return min(time.Duration(ms)*time.Millisecond, most), nil
}

// expectedVersion reads what [Expected] returns.
func expectedVersion(h nats.Header) (version uint64, ok bool, err error) {
	value, err := single(h, HeaderExpectedVersion)
	if err != nil || value == "" {
		return 0, false, err
	}
	if version, err = strconv.ParseUint(value, 10, 63); err != nil {
		return 0, false, malformed(HeaderExpectedVersion, "must be a version")
	}
	return version, true, nil
}

func single(h nats.Header, name string) (string, error) {
	switch values := h[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", malformed(name, "is there twice")
	}
}

func malformed(header, message string) *Error {
	return Invalid("a header is malformed", FieldError{header, message})
}
