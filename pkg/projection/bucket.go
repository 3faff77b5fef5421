package projection

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// requestTimeout bounds a request when the caller's context has no deadline.
const requestTimeout = 5 * time.Second

// source says who answers a read.
type source int

const (
	// replica reads take one hop and may be stale on a replicated bucket.
	replica source = iota
	// leader reads never are.
	leader
)

// stored is the last message on a subject; the zero value is none.
type stored struct {
	sequence uint64
	value    []byte
	live     bool      // a value, and not the marker of a deletion
	at       time.Time // when it was stored, if the leader said so
}

// stream reads the last message on a subject of one stream.
type stream struct {
	js   jetstream.JetStream
	name string
}

func (s stream) api(format string, args ...any) string {
	prefix := s.js.Options().APIPrefix
	if prefix == "" {
		prefix = jetstream.DefaultAPIPrefix
	}
	return prefix + fmt.Sprintf(format, args...)
}

// last returns the last message on subject. None is no error.
func (s stream) last(ctx context.Context, subject string, from source) (stored, error) {
	var (
		m   stored
		err error
	)
	if from == leader {
		m, err = s.lastFromLeader(ctx, subject)
	} else {
		m, err = s.lastFromReplica(ctx, subject)
	}
	if err != nil {
		return stored{}, fmt.Errorf("read %s of stream %s: %w", subject, s.name, err)
	}
	return m, nil
}

func (s stream) lastFromReplica(ctx context.Context, subject string) (stored, error) {
	reply, err := s.request(ctx, s.api("DIRECT.GET.%s.%s", s.name, subject), nil)
	if err != nil {
		return stored{}, err
	}
	if status := reply.Header.Get("Status"); status != "" && len(reply.Data) == 0 {
		if status == "404" {
			return stored{}, nil
		}
		return stored{}, fmt.Errorf("status %s: %s", status, reply.Header.Get("Description"))
	}
	sequence, err := strconv.ParseUint(reply.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("reply without a sequence: %w", err)
	}
	return stored{sequence: sequence, value: reply.Data, live: !isMarker(reply.Header)}, nil
}

func (s stream) lastFromLeader(ctx context.Context, subject string) (stored, error) {
	m, _, err := s.get(ctx, getRequest{Last: subject})
	return m, err
}

// getRequest asks the leader for a message: the last on a subject, or the first on
// one that is not before a sequence.
type getRequest struct {
	Last     string `json:"last_by_subj,omitzero"`
	Next     string `json:"next_by_subj,omitzero"`
	Sequence uint64 `json:"seq,omitzero"`
}

// get returns the message and its header. None is no error.
func (s stream) get(ctx context.Context, want getRequest) (stored, nats.Header, error) {
	body, err := json.Marshal(want)
	if err != nil {
		return stored{}, nil, err
	}
	reply, err := s.request(ctx, s.api("STREAM.MSG.GET.%s", s.name), body)
	if err != nil {
		return stored{}, nil, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &response); err != nil {
		return stored{}, nil, err
	}
	if response.Error != nil {
		if response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return stored{}, nil, nil
		}
		return stored{}, nil, response.Error
	}
	var header nats.Header
	if len(response.Message.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(response.Message.Header); err != nil {
			return stored{}, nil, err
		}
	}
	m := response.Message
	return stored{sequence: m.Sequence, value: m.Data, at: m.Time, live: !isMarker(header)}, header, nil
}

func (s stream) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	return s.js.Conn().RequestWithContext(ctx, subject, body)
}

// isMarker reports whether a message of a bucket stands for a deletion.
func isMarker(h nats.Header) bool {
	return h.Get(headerOperation) != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// bucket is a key-value bucket, addressed by key.
type bucket struct {
	stream
	prefix string
}

func newBucket(js jetstream.JetStream, name string) bucket {
	return bucket{stream: stream{js: js, name: streamName(name)}, prefix: keyPrefix(name)}
}

func (b bucket) read(ctx context.Context, key string, from source) (stored, error) {
	return b.last(ctx, b.prefix+key, from)
}
