package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readTimeout bounds one read, and how long a stream may be without a leader.
const readTimeout = 5 * time.Second

const readPause = 50 * time.Millisecond

var errNoMessage = errors.New("no such message")

// streamReader reads single messages of one stream. Its leader answers, so nothing is
// stale: a letter that is not there is gone.
type streamReader struct {
	js     jetstream.JetStream
	stream string
}

// storedMessage is a message as it lies in its stream.
type storedMessage struct {
	Subject  string      `json:"subject"`
	Sequence uint64      `json:"seq"`
	Head     []byte      `json:"hdrs"`
	Data     []byte      `json:"data"`
	Time     time.Time   `json:"time"`
	Header   nats.Header `json:"-"` // nil when it has none, or a broken one
}

// readRequest is the body of the server's message get API (ADR-31): a message by its
// sequence, or with Next the first that is on this subject and not before it.
type readRequest struct {
	Sequence uint64 `json:"seq"`
	Next     string `json:"next_by_subj,omitempty"`
}

// at returns the message with this sequence, else errNoMessage.
func (r streamReader) at(ctx context.Context, sequence uint64) (storedMessage, error) {
	return r.read(ctx, readRequest{Sequence: sequence})
}

// next returns the first message from sequence on whose subject matches, else
// errNoMessage.
func (r streamReader) next(ctx context.Context, sequence uint64, subject string) (storedMessage, error) {
	return r.read(ctx, readRequest{Sequence: max(sequence, 1), Next: subject})
}

// read asks until there is a leader that answers.
func (r streamReader) read(ctx context.Context, request readRequest) (storedMessage, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return storedMessage{}, fmt.Errorf("read %s: %w", r.stream, err)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for {
		m, err := r.ask(ctx, body)
		api, ok := errors.AsType[*jetstream.APIError](err)
		switch {
		case ok && api.ErrorCode == jetstream.JSErrCodeMessageNotFound:
			return storedMessage{}, errNoMessage
		case err == nil:
			return m, nil
		case !ok || api.Code != 503:
			return storedMessage{}, fmt.Errorf("read %s: %w", r.stream, err)
		}
		timer := time.NewTimer(readPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return storedMessage{}, fmt.Errorf("read %s: %w", r.stream, err)
		}
	}
}

func (r streamReader) ask(ctx context.Context, body []byte) (storedMessage, error) {
	reply, err := r.js.Conn().RequestWithContext(ctx, apiPrefix(r.js)+"STREAM.MSG.GET."+r.stream, body)
	if err != nil {
		return storedMessage{}, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message storedMessage       `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &response); err != nil {
		return storedMessage{}, err
	}
	if response.Error != nil {
		return storedMessage{}, response.Error
	}
	m := response.Message
	if len(m.Head) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(m.Head); err != nil {
			m.Header = nil // an outsider wrote them; the message counts without
		}
	}
	return m, nil
}

// remove overwrites and deletes a message. It reports whether the message was there:
// false only when the server says so.
func (r streamReader) remove(ctx context.Context, sequence uint64) (bool, error) {
	stream, err := r.js.Stream(ctx, r.stream)
	if err != nil {
		return false, fmt.Errorf("remove from %s: %w", r.stream, err)
	}
	err = stream.SecureDeleteMsg(ctx, sequence)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // so says the server
		if _, lookErr := r.at(ctx, sequence); errors.Is(lookErr, errNoMessage) {
			return false, nil
		}
	}
	return false, fmt.Errorf("remove from %s: %w", r.stream, err)
}

// apiPrefix returns what the subjects of the JetStream API begin with.
func apiPrefix(js jetstream.JetStream) string {
	options := js.Options()
	switch {
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	default:
		return jetstream.DefaultAPIPrefix
	}
}
